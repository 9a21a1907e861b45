"""Many KEKs in little time: each is made in the token for its own id, and a thousand are kept in one commit."""

from collections.abc import Iterator

from server.domain.ids import OrganizationId
from server.domain.keks import Kek, binding_context
from tests.support.world import World

_COMMIT = 1000
"""KEKs of one transaction."""


def make_many_keks(world: World, org: OrganizationId, count: int) -> None:
    """Make so many KEKs under the main key in charge."""
    keks = _new_keks(world, org, count)
    for start in range(0, count, _COMMIT):
        some = [next(keks) for _ in range(min(_COMMIT, count - start))]
        with world.storage.write() as tx:
            for kek in some:
                tx.keks.add(kek)


def _new_keks(world: World, org: OrganizationId, count: int) -> Iterator[Kek]:
    main_key = world.in_charge(org)
    for _ in range(count):
        kek_id = world.env.new_id()
        wrapped = world.custody.create_kek(main_key.object_id, binding_context(org, kek_id))
        yield Kek(
            organization=org,
            id=kek_id,
            main_key=main_key.id,
            key=wrapped,
            reserved_encryptions=0,
            create_time=world.now,
            rewrap_time=None,
            retry_time=None,
        )
