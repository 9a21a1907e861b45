"""Rows for tests: valid, and different from each other."""

import secrets
from datetime import UTC, datetime, timedelta

from server.domain.ids import COMMON, ObjectId, OrganizationId, object_id
from server.domain.keks import Kek, WrappedKek
from server.domain.main_keys import MainKey, Origin, State
from server.domain.organizations import Organization
from server.domain.ports import Storage
from server.domain.wrapping_keys import Algorithm, WrappingKey, WrappingKeyState

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ACME = OrganizationId("acme")


def new_id() -> ObjectId:
    return object_id(secrets.token_bytes(16))


def organization(name: str = "acme", main_key: ObjectId = COMMON, epoch: int = 1) -> Organization:
    return Organization(OrganizationId(name), name.title(), main_key, epoch, NOW)


def main_key(
    state: State = State.ACTIVE,
    *,
    org: OrganizationId = ACME,
    key_id: ObjectId | None = None,
    origin: Origin = Origin.UPLOADED,
    prior_state: State | None = None,
    age: timedelta = timedelta(0),
    purge_time: datetime | None = None,
) -> MainKey:
    key_id = key_id or new_id()
    if state is State.DELETED and prior_state is None:
        prior_state = State.REVOKED
    return MainKey(
        organization=org,
        id=key_id,
        object_id=new_id(),
        origin=origin,
        state=state,
        prior_state=prior_state,
        fingerprint=secrets.token_bytes(32),
        create_time=NOW - age,
        state_time=NOW - age,
        purge_time=purge_time or (NOW if state in {State.DELETED, State.REMOVED} else None),
        activate_time=NOW - age,
        revoke_time=NOW if state in {State.REVOKED, State.DELETED} else None,
    )


def kek(key: MainKey, retry_time: datetime | None = None) -> Kek:
    wrapped = WrappedKek(secrets.token_bytes(40), secrets.token_bytes(28))
    kek_id = new_id()
    return Kek(key.organization, kek_id, kek_id, 1, key.id, wrapped, 0, NOW, None, retry_time)


def wrapping_key(
    org: OrganizationId = ACME,
    *,
    state: WrappingKeyState = WrappingKeyState.USABLE,
    expire_time: datetime | None = None,
) -> WrappingKey:
    expire_time = expire_time or NOW + timedelta(days=7)
    return WrappingKey(
        org, new_id(), Algorithm.RSA_OAEP_3072_SHA256, secrets.token_bytes(422), state, 0, NOW, expire_time
    )


def put(storage: Storage, *keys: MainKey, in_charge: MainKey | None = None) -> None:
    """Keep an organisation with these main keys, the first of them in charge."""
    in_charge = in_charge or keys[0]
    with storage.write() as tx:
        tx.organizations.add(organization(in_charge.organization, in_charge.id))
        for key in keys:
            tx.main_keys.add(key)
