"""Many KEKs in little time: each is made in the token for its own id, and a thousand are kept in one commit."""

import sqlalchemy as sa

from server.domain.ids import OrganizationId
from server.domain.keks import Kek, binding_context
from server.domain.main_keys import MainKey
from server.storage.keks import _values
from server.storage.tables import keks
from tests.support.world import World

_COMMIT = 1000
"""KEKs of one transaction."""


def make_many_keks(world: World, org: OrganizationId, count: int) -> None:
    """Make so many KEKs under the main key in charge."""
    main_key = world.in_charge(org)
    for start in range(0, count, _COMMIT):
        rows = [_values(_new_kek(world, main_key)) for _ in range(min(_COMMIT, count - start))]
        with world.storage.connected(writes=True) as connection:
            connection.execute(sa.insert(keks), rows)


def _new_kek(world: World, main_key: MainKey) -> Kek:
    kek_id = world.env.new_id()
    return Kek(
        organization=main_key.organization,
        id=kek_id,
        kek=kek_id,
        version=1,
        main_key=main_key.id,
        key=world.custody.create_kek(main_key.object_id, binding_context(main_key.organization, kek_id)),
        reserved_encryptions=0,
        create_time=world.now,
        rewrap_time=None,
        retry_time=None,
    )
