"""The audit key: made once, before anything is served."""

from server.domain.checkpoints import AuditKey, SignatureAlgorithm
from server.domain.errors import ConcurrentChangeError, KeysteadError
from server.domain.intents import ObjectRole, Purpose
from server.use_cases.common_key import WrongTokenError
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects


class EnsureAuditKey:
    """Makes the audit key, or makes sure that the token holds the one that the database knows."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def __call__(self, algorithm: SignatureAlgorithm) -> None:
        """Return when the audit key is in the token and in the database.

        Args:
            algorithm: of the key, if one has to be made.

        Raises:
            WrongTokenError: the token has another audit key than the database, or none.
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        if self._known():
            return
        env, object_id = self._env, self._env.new_id()
        with env.storage.write() as tx:
            self._objects.announce(tx, object_id, ObjectRole.AUDIT_KEY, Purpose.CREATE)
        try:
            public_key = env.custody.create_audit_key(object_id, algorithm)
            with env.storage.write() as tx:
                tx.intents.settle(object_id, Purpose.CREATE)
                tx.audit.set_key(AuditKey(object_id, algorithm, public_key, env.clock()))
        except ConcurrentChangeError:
            self._objects.undo_create(ObjectRole.AUDIT_KEY, object_id)
            self._known()
        except KeysteadError:
            self._objects.undo_create(ObjectRole.AUDIT_KEY, object_id)
            raise

    def _known(self) -> bool:
        with self._env.storage.read() as tx:
            key = tx.audit.key()
        if key is None:
            return False
        if not self._env.custody.has_audit_key(key):
            raise WrongTokenError("The token does not hold this database's audit key: check token and database URL.")
        return True
