"""Sign receipts: for each act on a main key a statement that its owner can keep, and verify without the service.

The steward signs them soon after the act, so that what the token says of a key is what it said then. Who asks sooner
has it signed at once.
"""

import hashlib

from server.domain.audit import AuditEvent, RecordedEvent
from server.domain.audit_encoding import Json, canonical, encoded, moment
from server.domain.checkpoints import AuditKey
from server.domain.errors import InvalidFieldError, ResourceNotFoundError
from server.domain.ids import AuditEventName, MainKeyName, ObjectId, OrganizationId
from server.domain.main_keys import IN_TOKEN_STATES, MainKey
from server.domain.merkle import inclusion_path
from server.domain.ports import Transaction
from server.domain.receipts import RECEIPT, Receipt, act_of
from server.domain.roles import Caller, Operation, authorize
from server.use_cases.authority import BrokenRowsError, passing_over_damage, read_authority
from server.use_cases.checkpoints import Checkpoints, Tree
from server.use_cases.environment import Environment

_AT_ONCE = 50


class Receipts:
    """Signs receipts."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._checkpoints = Checkpoints(env)
        self._after: tuple[OrganizationId, int] | None = None

    def sign_pending(self) -> int:
        """Sign the receipts that wait for it, up to fifty; return how many waited, 0 after the last.

        Those of a damaged log go on waiting, and others do not wait for them.

        Raises:
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        with self._env.storage.read() as tx:
            pending = tx.audit.pending_receipts(self._after, _AT_ONCE)
        for organization, sequence in pending:
            with passing_over_damage():
                self.of(AuditEventName(organization, sequence))
            self._after = organization, sequence
        if not pending:
            self._after = None
        return len(pending)

    def of(self, name: AuditEventName) -> Receipt:
        """Return the receipt of an event, signed now if it was not before.

        Raises:
            ResourceNotFoundError: there is no such event.
            InvalidFieldError: there are no receipts of such events.
            TokenUnavailableError, StorageUnavailableError: try again later.
        """
        with self._env.storage.read() as tx:
            receipt = tx.audit.receipt(name.organization, name.sequence)
            found = tx.audit.events(name.organization, name.sequence, 1)
        if receipt is not None:
            return receipt
        if not found or found[0].sequence != name.sequence:
            raise ResourceNotFoundError(str(name))
        if act_of(found[0].event) is None:
            raise InvalidFieldError("name", "an event that does something to a main key, or the end of a rotation")
        receipt = self._signed(found[0])
        with self._env.storage.write() as tx:
            tx.audit.keep_receipt(receipt)
            # Another process may have been faster; there is one receipt of an event.
            return tx.audit.receipt(name.organization, name.sequence) or receipt

    def _signed(self, recorded: RecordedEvent) -> Receipt:
        event, key = recorded.event, self._checkpoints.key()
        head = self._checkpoints.covering(event.organization, recorded.sequence).head
        with self._env.storage.read() as tx:
            main_key = _main_key_of(tx, event)
            wrapping_key = _wrapping_key_hash(tx, event)
            path = inclusion_path(recorded.sequence - 1, head.size, Tree(tx, event.organization).node)
        token = self._env.custody.token()
        # The token is not asked for what is known to have left it: it would be looked for with great pains.
        is_there = main_key.state in IN_TOKEN_STATES
        facts = self._env.custody.describe_main_key(main_key.object_id) if is_there else None
        told: dict[str, Json] = {
            "type": RECEIPT,
            "act": act_of(event),
            "organization": event.organization,
            "main_key": str(MainKeyName(event.organization, main_key.id)),
            "fingerprint": main_key.fingerprint.hex(),
            "wrapping_key_sha256": wrapping_key,
            "in_token": facts is not None,
            "attributes": None if facts is None else facts.attributes,
            "mechanisms": None if facts is None else list(facts.mechanisms),
            "token": {
                "manufacturer": token.manufacturer,
                "model": token.model,
                "serial": token.serial,
                "firmware": token.firmware,
            },
            "attestation": token.attestation,
            "time": moment(self._env.clock()),
            "event": encoded(recorded).decode(),
            "checkpoint": {"size": head.size, "root": head.root.hex(), "time": moment(head.time)},
            "path": [it.hex() for it in path],
        }
        statement = canonical(told)
        signature = self._env.custody.sign(key, statement)
        return Receipt(event.organization, recorded.sequence, statement, key.fingerprint, signature)


class GetReceipt:
    """Show a receipt."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._receipts = Receipts(env)
        self._checkpoints = Checkpoints(env)

    def __call__(self, caller: Caller, name: AuditEventName) -> tuple[Receipt, AuditKey]:
        """Return the receipt of an event, and the key that has signed it.

        Raises:
            ForbiddenError: the caller does not administer the organisation.
            ResourceNotFoundError: there is no such event.
            InvalidFieldError: there are no receipts of such events.
        """
        authorize(caller, Operation.GET_RECEIPT, name.organization)
        with self._env.storage.read() as tx:
            read_authority(tx, name.organization)
        return self._receipts.of(name), self._checkpoints.key()


def _main_key_of(tx: Transaction, event: AuditEvent) -> MainKey:
    """Return the main key that an event is about; of a rotation, the one that was replaced."""
    key_id: ObjectId | None = event.main_key or event.subject
    key = None if key_id is None else tx.main_keys.find(event.organization, key_id)
    if key is None:
        raise BrokenRowsError(event.organization)
    return key


def _wrapping_key_hash(tx: Transaction, event: AuditEvent) -> str | None:
    organization: OrganizationId = event.organization
    key = None if event.wrapping_key is None else tx.wrapping_keys.find(organization, event.wrapping_key)
    return None if key is None else hashlib.sha256(key.public_key).hexdigest()
