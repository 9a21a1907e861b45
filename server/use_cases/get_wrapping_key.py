"""Get a wrapping key to encrypt a main key under."""

from server.domain.audit import AuditAction, AuditEvent
from server.domain.errors import ConcurrentChangeError, KeysteadError, WrappingKeyDamagedError
from server.domain.ids import OrganizationId
from server.domain.intents import ObjectRole, Purpose
from server.domain.roles import Caller, Operation, authorize
from server.domain.wrapping_keys import Algorithm, WrappingKey, WrappingKeyState
from server.use_cases.authority import lock_authority, read_authority
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects

_TRIES = 3


class GetWrappingKey:
    """Answer the organisation's wrapping key that can still be used, or make one."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def __call__(self, caller: Caller, organization: OrganizationId, algorithm: Algorithm | None) -> WrappingKey:
        """Return a usable wrapping key.

        The public half of a known key is compared with the token's own, so that an edited row cannot make a customer
        encrypt under somebody else's key.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            ResourceNotFoundError: there is no such organisation.
            WrappingKeyDamagedError: the stored public half is not the token's.
            ConcurrentChangeError: wrapping keys are used up faster than one can be answered.
        """
        authorize(caller, Operation.GET_WRAPPING_KEY, organization)
        for _ in range(_TRIES):
            with self._env.storage.read() as tx:
                read_authority(tx, organization)
                known = tx.wrapping_keys.usable(organization, algorithm, self._env.clock())
            if known is None:
                return self._make(caller, organization, algorithm or self._env.limits.default_algorithm)
            if self._is_whole(known):
                return known
        raise ConcurrentChangeError

    def _is_whole(self, known: WrappingKey) -> bool:
        """Return whether the token has the key as it is stored; False if it was used up while we looked."""
        try:
            self._env.custody.check_wrapping_key(known.id, known.public_key)
        except WrappingKeyDamagedError:
            with self._env.storage.read() as tx:
                current = tx.wrapping_keys.find(known.organization, known.id)
            if current is None or current.is_usable(self._env.clock()):
                raise
            return False
        return True

    def _make(self, caller: Caller, organization: OrganizationId, algorithm: Algorithm) -> WrappingKey:
        key_id = self._env.new_id()
        with self._env.storage.write() as tx:
            self._objects.announce(tx, key_id, ObjectRole.WRAPPING_KEY, Purpose.CREATE)
        try:
            public_key = self._env.custody.create_wrapping_key(key_id, algorithm)
            with self._env.storage.write() as tx:
                lock_authority(tx, organization)
                # Only now: what others write of the organisation meanwhile was before this.
                now = self._env.clock()
                made = WrappingKey(
                    organization=organization,
                    id=key_id,
                    algorithm=algorithm,
                    public_key=public_key,
                    state=WrappingKeyState.USABLE,
                    failed_uploads=0,
                    create_time=now,
                    expire_time=now + self._env.limits.wrapping_key_lifetime,
                )
                tx.intents.settle(key_id, Purpose.CREATE)
                tx.wrapping_keys.add(made)
                tx.audit.append(
                    AuditEvent(organization, now, caller.identity, AuditAction.WRAPPING_KEY_CREATED, subject=key_id)
                )
        except KeysteadError:
            self._objects.undo_create(ObjectRole.WRAPPING_KEY, key_id)
            raise
        return made
