"""An organisation that brought its key, and a thief, who has the PIN and calls the token as he likes."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from hsm_adapter import Role
from hsm_adapter.constants import Attribute, KeyType, ObjectClass
from hsm_adapter.cryptoki import Cryptoki
from hsm_adapter.structures import Template, Value
from hsm_adapter.templates import identity
from server.custody.hsm import HsmCustody
from server.domain.ids import KekName, OrganizationId
from server.domain.keks import Kek
from server.domain.main_keys import MainKey
from tests.attacks.owners import Owner
from tests.support.world import World, opened

AES = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.TOKEN: False}


@dataclass
class Thief:
    """A session that is logged in with the service's PIN, and the module's functions, with nothing between."""

    p11: Cryptoki
    session: int

    def find(self, role: Role, object_id: str) -> int:
        """Find a key that is kept in the token."""
        [handle] = self.p11.find_objects(self.session, identity(role, bytes.fromhex(object_id)), 2)
        return handle

    def find_kek_in_use(self) -> int:
        """Find the KEK that the service has loaded, as who has taken over its process can."""
        template = Template({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.TOKEN: False})
        return self.p11.find_objects(self.session, template, 100)[0]

    def key_of_his_own(self, rights: Mapping[Attribute, Value], value: bytes = bytes(32)) -> int:
        """Put a key that he knows into the token."""
        return self.p11.create_object(self.session, Template({**AES, Attribute.VALUE: value, **rights}))


@dataclass(frozen=True)
class Victim:
    """An organisation, what it brought, and a KEK of it."""

    id: OrganizationId
    value: bytes
    main_key: MainKey
    kek: Kek

    @property
    def kek_name(self) -> KekName:
        return KekName(self.id, self.kek.id)


@pytest.fixture(scope="module")
def world(request, tmp_path_factory) -> Iterator[World]:
    custody = getattr(request.module, "CUSTODY", HsmCustody)
    with opened(tmp_path_factory.mktemp("world"), custody=custody) as world:
        yield world


@pytest.fixture(scope="module")
def victim(world) -> Victim:
    org, value = world.new_organization(), os.urandom(32)
    main_key = world.bring(org, value)
    world.steward()
    return Victim(org, value, main_key, world.new_kek(org))


@pytest.fixture
def thief(world) -> Iterator[Thief]:
    token = world.custody._token
    with token._pool.lease() as session:
        session.broken = True  # Whatever he makes ends with his session.
        yield Thief(token._cryptoki, session.handle)


@pytest.fixture
def write(world):
    """Change rows by hand, and begin anew, so that nothing is remembered of how they were."""

    def write(statement: str, **values) -> None:
        with world.storage.connected(writes=True) as connection:
            changed = connection.execute(sa.text(statement), values)
            assert changed.rowcount >= 1
            everybody = connection.execute(sa.text("SELECT id FROM organizations")).scalars()
            world.custody._token.unload_keks(frozenset(everybody))
        world.restart()

    return write


@pytest.fixture
def owner(world):
    return Owner(world)


@pytest.fixture
def other(world):
    return Owner(world)
