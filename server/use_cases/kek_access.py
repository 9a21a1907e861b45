"""Have a KEK in the token, for as long as its organisation may work.

The authority is read before the token is asked, and read again before the answer leaves: a revocation that commits
while a call is in flight stops its answer.
"""

from collections.abc import Callable
from typing import TypeVar

from server.domain.errors import (
    KekDamagedError,
    KekRejectedError,
    MainKeyMissingError,
    ResourceNotFoundError,
)
from server.domain.ids import KekName, ObjectId, OrganizationId
from server.domain.keks import Kek, binding_context
from server.domain.ports import KekInUse
from server.use_cases.authority import read_authority
from server.use_cases.encryptions import Encryptions
from server.use_cases.environment import Environment
from server.use_cases.usage import UseCounter

T = TypeVar("T")


class KekAccess:
    """Opens KEKs by name."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._encryptions = Encryptions(env.storage, env.limits.encryptions_block)
        self.uses = UseCounter(env.storage, env.clock)

    def demand_unlocked(self, organization: OrganizationId) -> None:
        """Return if the organisation may work now.

        Raises:
            OrganizationLockedError: it may not.
            ResourceNotFoundError: it does not exist.
        """
        with self._env.storage.read() as tx:
            read_authority(tx, organization).demand_unlocked()

    def with_kek(self, name: KekName, work: Callable[[KekInUse], T], *, items: int, encryptions: int = 0) -> T:
        """Return what `work` makes of the KEK.

        Args:
            name: the KEK.
            work: uses the KEK.
            items: how many content keys `work` is about.
            encryptions: how many times `work` encrypts, at most.

        Raises:
            ResourceNotFoundError: there is no such KEK.
            KekExhaustedError: it may not encrypt so often any more.
            OrganizationLockedError: the organisation may not work, at the start or at the end.
            KekDamagedError: the KEK as stored is not the key it should be.
        """
        kek, object_id = self._find(name)
        if encryptions:
            self._encryptions.take(name, encryptions)
        try:
            result = self._use(kek, object_id, work)
        except (KekRejectedError, MainKeyMissingError) as error:
            moved, object_id = self._find(name)
            if moved.key == kek.key:
                if isinstance(error, MainKeyMissingError):
                    raise
                raise KekDamagedError(str(name)) from error
            # It was re-wrapped while we held its old form, and the old main key is gone. Nothing was encrypted yet.
            try:
                result = self._use(moved, object_id, work)
            except KekRejectedError as again:
                raise KekDamagedError(str(name)) from again
        self.demand_unlocked(name.organization)
        self.uses.count(name.organization, items)
        return result

    def _find(self, name: KekName) -> tuple[Kek, ObjectId]:
        """Return the KEK and the id of its main key's object."""
        with self._env.storage.read() as tx:
            read_authority(tx, name.organization).demand_unlocked()
            kek = tx.keks.find(name.organization, name.id)
            if kek is None:
                raise ResourceNotFoundError(str(name))
            main_key = tx.main_keys.find(name.organization, kek.main_key)
        if main_key is None:
            raise MainKeyMissingError
        return kek, main_key.object_id

    def _use(self, kek: Kek, object_id: ObjectId, work: Callable[[KekInUse], T]) -> T:
        context = binding_context(kek.organization, kek.id)
        with self._env.custody.use_kek(object_id, kek.key, context) as kek_in_use:
            return work(kek_in_use)
