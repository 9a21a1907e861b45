"""Sign what the audit logs are: the roots of their Merkle trees.

The tree is not grown by who writes an event, but by who signs: from the events as they are. Of every 256 leaves, of
every 256 of those, and so on, the hash is kept, so that neither a root nor a proof has to look at the whole log.
"""

from collections.abc import Sequence
from datetime import timedelta

from server.domain.audit_encoding import encoded
from server.domain.checkpoints import AuditKey, Checkpoint, TreeHead
from server.domain.errors import ConcurrentChangeError, StateDamagedError, TokenUnavailableError
from server.domain.ids import OrganizationId, OrganizationName
from server.domain.merkle import leaf_hash, node_hash, root_hash
from server.domain.ports import Transaction
from server.use_cases.authority import passing_over_damage
from server.use_cases.environment import Environment

TILE = 8
"""Levels from one kept hash to the next."""
_WIDTH = 1 << TILE
_LEVELS = range(TILE, 64, TILE)
_TILES_AT_ONCE = 50
PAUSE = timedelta(seconds=1)
"""A checkpoint that is no older than this is fresh: nobody makes the token sign more often."""
_AT_ONCE = 100


class Tree:
    """The tree of one log, as a transaction sees it."""

    def __init__(self, tx: Transaction, organization: OrganizationId) -> None:
        self._tx = tx
        self._organization = organization
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def node(self, level: int, place: int) -> bytes:
        """Return the hash of a complete subtree of 2^level leaves."""
        base = level // TILE * TILE
        width = 1 << (level - base)
        tile, start = divmod(place * width, _WIDTH)
        if (base, tile) not in self._tiles:
            self._tiles[base, tile] = self.tile(base, tile)
        return _folded(self._tiles[base, tile][start : start + width])

    def tile(self, level: int, tile: int) -> list[bytes]:
        """Return up to 256 neighbouring hashes of one level: of leaves, or kept ones."""
        first = tile * _WIDTH
        if level == 0:
            return [leaf_hash(encoded(it)) for it in self._tx.audit.events(self._organization, first + 1, _WIDTH)]
        return self._tx.audit.nodes(self._organization, level, first, _WIDTH)

    def grown(self, level: int, first: int, end: int) -> list[bytes]:
        """Return the hashes of the subtrees of 2^level leaves from one place to another, from what is kept below."""
        return [_folded(self.tile(level - TILE, place)) for place in range(first, end)]


def _folded(hashes: Sequence[bytes]) -> bytes:
    """Return the root over 1, 2, 4 ... 256 hashes."""
    if not hashes or len(hashes) & (len(hashes) - 1):
        raise ValueError("the log has another size than its tree")
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def _demand_grown(newest: Checkpoint | None, size: int, tree: Tree) -> None:
    """Return if the log still begins with what was signed last: nothing that contradicts it is ever signed.

    Raises:
        StateDamagedError: it does not.
    """
    if newest is None:
        return
    signed = newest.head
    try:
        is_grown = signed.size <= size and root_hash(signed.size, tree.node) == signed.root
    except ValueError:  # Events are missing.
        is_grown = False
    if not is_grown:
        raise StateDamagedError(f"the audit log of {OrganizationName(signed.organization)}")


class Checkpoints:
    """Signs checkpoints."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._after: OrganizationId | None = None

    def key(self) -> AuditKey:
        """Return the key that signs.

        Raises:
            TokenUnavailableError: it is not there: every process makes sure of it before it serves.
        """
        with self._env.storage.read() as tx:
            key = tx.audit.key()
        if key is None:
            raise TokenUnavailableError
        return key

    def fresh(self, organization: OrganizationId) -> Checkpoint:
        """Return a checkpoint of the log as it is now, or was a second ago.

        Raises:
            StateDamagedError: the log contradicts what was signed before.
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        with self._env.storage.read() as tx:
            newest, size = tx.audit.newest_checkpoint(organization), tx.audit.size(organization)
        now = self._env.clock()
        if newest and (newest.head.size == size or timedelta(0) <= now - newest.head.time < PAUSE):
            return newest
        return self._signed(organization, size)

    def covering(self, organization: OrganizationId, sequence: int) -> Checkpoint:
        """Return a checkpoint that an event is in.

        Raises:
            StateDamagedError: the log contradicts what was signed before.
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        with self._env.storage.read() as tx:
            newest, size = tx.audit.newest_checkpoint(organization), tx.audit.size(organization)
        return newest if newest and newest.head.size >= sequence else self._signed(organization, size)

    def _signed(self, organization: OrganizationId, size: int) -> Checkpoint:
        key = self.key()
        self._grow(organization, size)
        with self._env.storage.read() as tx:
            tree = Tree(tx, organization)
            _demand_grown(tx.audit.newest_checkpoint(organization), size, tree)
            root = root_hash(size, tree.node)
        head = TreeHead(organization, size, root, self._env.clock())
        checkpoint = Checkpoint(head, key.fingerprint, self._env.custody.sign(key, head.signed_bytes))
        try:
            with self._env.storage.write() as tx:
                tx.audit.add_checkpoint(checkpoint)
        except ConcurrentChangeError:
            # Another process was faster.
            with self._env.storage.read() as tx:
                return tx.audit.newest_checkpoint(organization) or checkpoint
        return checkpoint

    def _grow(self, organization: OrganizationId, size: int) -> None:
        """Keep the hashes that a log of this size has; a bounded number in each transaction."""
        for level in _LEVELS:
            while True:
                with self._env.storage.read() as tx:
                    first = tx.audit.node_count(organization, level)
                    end = min(size >> level, first + _TILES_AT_ONCE)
                    hashes = Tree(tx, organization).grown(level, first, end)
                if not hashes:
                    break
                with self._env.storage.write() as tx:
                    tx.audit.add_nodes(organization, level, first, hashes)
            if size >> level == 0:
                return

    def sign_all(self) -> int:
        """Sign the logs that have grown, up to a hundred; return how many, 0 after the last.

        Raises:
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        with self._env.storage.read() as tx:
            behind = tx.audit.behind(self._after, _AT_ONCE)
        for organization in behind:
            with passing_over_damage():
                self.fresh(organization)
            self._after = organization
        if not behind:
            self._after = None
        return len(behind)
