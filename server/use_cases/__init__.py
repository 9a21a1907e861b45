"""What Keystead does, one use case a class; and all that callers can ask for, together."""

from dataclasses import dataclass

from server.domain.limits import Limits
from server.use_cases.approvals import Approvals
from server.use_cases.authorities import Authorities
from server.use_cases.byok import Byok
from server.use_cases.content_keys import (
    GenerateContentKeys,
    GeneratedContentKey,
    UnwrapContentKeys,
    UnwrappedContentKey,
    WrapContentKeys,
)
from server.use_cases.create_kek import CreateKek
from server.use_cases.create_organization import CreateOrganization
from server.use_cases.environment import Environment
from server.use_cases.get_wrapping_key import GetWrappingKey
from server.use_cases.import_main_key import Import, ImportMainKey
from server.use_cases.kek_access import KekAccess
from server.use_cases.move_main_key import MainKeyMoves
from server.use_cases.objects import TokenObjects
from server.use_cases.paging import Page, PageRequest
from server.use_cases.pause_rotation import RotationControl
from server.use_cases.preview_change import Change, PreviewChange
from server.use_cases.read_audit import ProvenEvent, ProvenGrowth, ReadAudit, SignedCheckpoint
from server.use_cases.read_authority import GetAuthority, WatchOrganization
from server.use_cases.read_keks import GetKek, ListKeks
from server.use_cases.read_main_keys import GetMainKey, ListMainKeys
from server.use_cases.read_organizations import GetOrganization, ListOrganizations
from server.use_cases.read_rotations import GetRotation, ListRotations
from server.use_cases.receipts import GetReceipt
from server.use_cases.recorded_content_keys import (
    RecordedGeneration,
    RecordedRewrapping,
    RecordedUnwrapping,
    RecordedWrapping,
)
from server.use_cases.records import Records
from server.use_cases.refusals import Refusal
from server.use_cases.rewrap_content_keys import RewrapContentKeys, RewrappedContentKey
from server.use_cases.terms import FREE, AnsweredBefore, Terms
from server.use_cases.uploads import Upload, Uploads
from server.use_cases.verify_main_key_copy import VerifyMainKeyCopy
from server.use_cases.views import (
    ChangePreview,
    ImportedMainKey,
    MainKeyView,
    OrganizationView,
    RevokedMainKey,
    RotationView,
    VerifiedCopy,
)

__all__ = [
    "FREE",
    "AnsweredBefore",
    "Change",
    "ChangePreview",
    "Environment",
    "GeneratedContentKey",
    "Import",
    "ImportedMainKey",
    "Limits",
    "MainKeyView",
    "OrganizationView",
    "Page",
    "PageRequest",
    "ProvenEvent",
    "ProvenGrowth",
    "Refusal",
    "RevokedMainKey",
    "RewrappedContentKey",
    "RotationView",
    "SignedCheckpoint",
    "Terms",
    "UnwrappedContentKey",
    "Upload",
    "UseCases",
    "VerifiedCopy",
    "use_cases",
]


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that callers can ask for. Each is called with the caller first, and decides itself whether it may."""

    create_organization: CreateOrganization
    get_organization: GetOrganization
    list_organizations: ListOrganizations
    byok: Byok
    get_wrapping_key: GetWrappingKey
    import_main_key: ImportMainKey
    list_main_keys: ListMainKeys
    get_main_key: GetMainKey
    main_key_moves: MainKeyMoves
    preview_change: PreviewChange
    verify_main_key_copy: VerifyMainKeyCopy
    list_rotations: ListRotations
    get_rotation: GetRotation
    rotation_control: RotationControl
    approvals: Approvals
    create_kek: CreateKek
    get_kek: GetKek
    list_keks: ListKeks
    generate_content_keys: RecordedGeneration
    wrap_content_keys: RecordedWrapping
    unwrap_content_keys: RecordedUnwrapping
    rewrap_content_keys: RecordedRewrapping
    get_authority: GetAuthority
    watch_organization: WatchOrganization
    read_audit: ReadAudit
    get_receipt: GetReceipt
    authorities: Authorities
    """To be kept up to date."""
    records: Records
    """To be written once in a while."""


def use_cases(env: Environment) -> UseCases:
    """Return every use case over one environment."""
    objects = TokenObjects(env)
    uploads = Uploads(env, objects)
    authorities = Authorities(env)
    access = KekAccess(env, authorities)
    records = Records(env)
    wrap, unwrap = WrapContentKeys(access), UnwrapContentKeys(access)
    return UseCases(
        create_organization=CreateOrganization(env),
        get_organization=GetOrganization(env),
        list_organizations=ListOrganizations(env),
        byok=Byok(env),
        get_wrapping_key=GetWrappingKey(env, objects),
        import_main_key=ImportMainKey(env, objects, uploads),
        list_main_keys=ListMainKeys(env),
        get_main_key=GetMainKey(env),
        main_key_moves=MainKeyMoves(env),
        preview_change=PreviewChange(env),
        verify_main_key_copy=VerifyMainKeyCopy(env, uploads),
        list_rotations=ListRotations(env),
        get_rotation=GetRotation(env),
        rotation_control=RotationControl(env),
        approvals=Approvals(env),
        create_kek=CreateKek(env),
        get_kek=GetKek(env),
        list_keks=ListKeks(env),
        generate_content_keys=RecordedGeneration(records, GenerateContentKeys(env, access)),
        wrap_content_keys=RecordedWrapping(records, wrap),
        unwrap_content_keys=RecordedUnwrapping(records, unwrap),
        rewrap_content_keys=RecordedRewrapping(records, RewrapContentKeys(env, unwrap, wrap)),
        get_authority=GetAuthority(authorities),
        watch_organization=WatchOrganization(authorities),
        read_audit=ReadAudit(env),
        get_receipt=GetReceipt(env),
        authorities=authorities,
        records=records,
    )
