"""What Keystead does, one use case a class; and all that callers can ask for, together."""

from dataclasses import dataclass

from server.use_cases.activate_main_key import ActivateMainKey
from server.use_cases.content_keys import (
    GenerateContentKeys,
    GeneratedContentKey,
    UnwrapContentKeys,
    UnwrappedContentKey,
    WrapContentKeys,
)
from server.use_cases.create_kek import CreateKek
from server.use_cases.create_organization import CreateOrganization
from server.use_cases.environment import Environment, Limits
from server.use_cases.get_wrapping_key import GetWrappingKey
from server.use_cases.import_main_key import ImportMainKey, Upload
from server.use_cases.kek_access import KekAccess
from server.use_cases.objects import TokenObjects
from server.use_cases.paging import Page, PageRequest
from server.use_cases.read_keks import GetKek, ListKeks
from server.use_cases.read_main_keys import GetMainKey, ListMainKeys
from server.use_cases.read_organizations import GetOrganization, ListOrganizations
from server.use_cases.read_rotations import GetRotation, ListRotations
from server.use_cases.views import ImportedMainKey, MainKeyView, OrganizationView

__all__ = [
    "Environment",
    "GeneratedContentKey",
    "ImportedMainKey",
    "Limits",
    "MainKeyView",
    "OrganizationView",
    "Page",
    "PageRequest",
    "UnwrappedContentKey",
    "Upload",
    "UseCases",
    "use_cases",
]


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that callers can ask for. Each is called with the caller first, and decides itself whether it may."""

    create_organization: CreateOrganization
    get_organization: GetOrganization
    list_organizations: ListOrganizations
    get_wrapping_key: GetWrappingKey
    import_main_key: ImportMainKey
    list_main_keys: ListMainKeys
    get_main_key: GetMainKey
    activate_main_key: ActivateMainKey
    list_rotations: ListRotations
    get_rotation: GetRotation
    create_kek: CreateKek
    get_kek: GetKek
    list_keks: ListKeks
    generate_content_keys: GenerateContentKeys
    wrap_content_keys: WrapContentKeys
    unwrap_content_keys: UnwrapContentKeys


def use_cases(env: Environment) -> UseCases:
    """Return every use case over one environment."""
    objects = TokenObjects(env)
    access = KekAccess(env)
    return UseCases(
        create_organization=CreateOrganization(env),
        get_organization=GetOrganization(env),
        list_organizations=ListOrganizations(env),
        get_wrapping_key=GetWrappingKey(env, objects),
        import_main_key=ImportMainKey(env, objects),
        list_main_keys=ListMainKeys(env),
        get_main_key=GetMainKey(env),
        activate_main_key=ActivateMainKey(env),
        list_rotations=ListRotations(env),
        get_rotation=GetRotation(env),
        create_kek=CreateKek(env),
        get_kek=GetKek(env),
        list_keks=ListKeks(env),
        generate_content_keys=GenerateContentKeys(env, access),
        wrap_content_keys=WrapContentKeys(access),
        unwrap_content_keys=UnwrapContentKeys(access),
    )
