"""The common key: made once, before anything is served."""

from server.domain.errors import ConcurrentChangeError, KeysteadError
from server.domain.intents import ObjectRole, Purpose
from server.use_cases.environment import Environment
from server.use_cases.objects import TokenObjects


class WrongTokenError(Exception):
    """The database and the token do not belong together."""


class EnsureCommonKey:
    """Makes the common key, or makes sure that the token holds the one that the database knows."""

    def __init__(self, env: Environment, objects: TokenObjects) -> None:
        self._env = env
        self._objects = objects

    def __call__(self) -> None:
        """Return when the common key is in the token and in the database.

        Raises:
            WrongTokenError: the token has another common key than the database, or none.
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        if self._known():
            return
        object_id = self._env.new_id()
        with self._env.storage.write() as tx:
            self._objects.announce(tx, object_id, ObjectRole.MAIN_KEY, Purpose.CREATE)
        try:
            fingerprint = self._env.custody.generate_main_key(object_id)
            with self._env.storage.write() as tx:
                tx.intents.settle(object_id, Purpose.CREATE)
                tx.main_keys.set_common(object_id, fingerprint, self._env.clock())
        except ConcurrentChangeError:
            self._objects.undo_create(ObjectRole.MAIN_KEY, object_id)
            self._known()
        except KeysteadError:
            self._objects.undo_create(ObjectRole.MAIN_KEY, object_id)
            raise

    def _known(self) -> bool:
        with self._env.storage.read() as tx:
            common = tx.main_keys.common()
        if common is None:
            return False
        object_id, fingerprint = common
        if self._env.custody.find_main_key(object_id) != fingerprint:
            raise WrongTokenError("The token does not hold this database's common key: check token and database URL.")
        return True
