"""The main job in one process and one thread, use case by use case, with keys whose values are known here."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import keywrap

from server.bootstrap import Parts
from server.domain.checkpoints import SignatureAlgorithm
from server.domain.errors import (
    DuplicateKeyError,
    EncryptedKeyRejectedError,
    KeysteadError,
    WeakKeyError,
    WrappedKeyRejectedError,
    WrappingKeyNotUsableError,
)
from server.domain.ids import KekName, MainKeyName, OrganizationId, WrappingKeyName
from server.domain.keks import Kek
from server.domain.main_keys import State
from server.domain.roles import Caller, Grant, Role
from server.use_cases import Import, MainKeyView, PageRequest, Upload, use_cases
from server.use_cases.audit_key import EnsureAuditKey
from server.use_cases.checkpoints import Checkpoints
from server.use_cases.common_key import EnsureCommonKey
from server.use_cases.deadlines import Removal
from server.use_cases.receipts import Receipts
from server.use_cases.rotate import Rotate
from server.use_cases.tidy import SettleIntents
from tests.support.crypto import OAEP_SHA256, WRONG_PADDINGS, encrypt, fingerprint

ACME, OTHER = OrganizationId("acme"), OrganizationId("other")
_BOTH = frozenset({ACME, OTHER})
OPERATOR = Caller("operator", (Grant(Role.OPERATOR, frozenset()),))
ADMIN = Caller("admin", (Grant(Role.ADMINISTRATOR, _BOTH),))
SERVICE = Caller("service", (Grant(Role.SERVICE, _BOTH),))
CONTEXT: Mapping[str, str] = {"document": "report"}
_ALL = PageRequest(1000, "")


@dataclass
class Lifecycle:
    """One organisation, from the common key over two of its own."""

    parts: Parts
    main_keys: list[bytes] = field(default_factory=list)
    """The values of the main keys that were brought."""
    refused: list[bytes] = field(default_factory=list)
    """The values of those that were not taken."""
    keks: dict[str, bytes] = field(default_factory=dict)
    """The value of each KEK, by its id: found by unwrapping its row outside the token."""
    content_keys: dict[bytes, bytes] = field(default_factory=dict)
    """The content keys in clear, by their wrapped form."""
    in_charge: str = ""
    """The id of the object of the last main key that was brought."""

    def __post_init__(self) -> None:
        self._do = use_cases(self.parts.env)

    def live(self) -> None:
        """Do all of it; every step is what a test elsewhere looks at more closely."""
        EnsureCommonKey(self.parts.env, self.parts.objects)()
        EnsureAuditKey(self.parts.env, self.parts.objects)(SignatureAlgorithm.ECDSA_P256_SHA256)
        for organization in (ACME, OTHER):
            self._do.create_organization(OPERATOR, organization, "")
        self._use(self._new_kek(), self._new_kek())
        self._refuse_uploads()
        first = self._bring(secrets.token_bytes(32), activate_now=True)
        self._rotate()
        self._use(self._new_kek())
        self._learn_keks(self.main_keys[0])
        self._refuse_repeated(self.main_keys[0])
        second = self._bring(secrets.token_bytes(32), activate_now=False)
        self._do.main_key_moves.activate(ADMIN, MainKeyName(ACME, second.key.id))
        self._rotate()
        self._use(self._new_kek())
        self._learn_keks(self.main_keys[1])
        self._refuse_unwraps()
        removal = Removal(self.parts.env, self.parts.objects)
        assert removal.remove_retired() == 1
        assert SettleIntents(self.parts.env, self.parts.objects)() == 0
        self._lose_and_recover(removal, MainKeyName(ACME, second.key.id), self.main_keys[1])
        assert Receipts(self.parts.env).sign_pending() > 0
        assert Checkpoints(self.parts.env).fresh(ACME).head.size > len(self.keks)
        self.parts.custody.check()
        states = {view.key.id: view.key.state for view in self._main_keys()}
        assert states == {"common": State.RETIRED, first.key.id: State.REMOVED, second.key.id: State.ACTIVE}
        assert len(self.keks) == 4

    def _main_keys(self) -> list[MainKeyView]:
        return list(self._do.list_main_keys(ADMIN, ACME, _ALL, show_removed=True).items)

    def _lose_and_recover(self, removal: Removal, name: MainKeyName, value: bytes) -> None:
        """Verify the backup, revoke and delete the key, let it be removed from the token, and bring it back."""
        copy = self._encrypted(value)
        assert self._do.verify_main_key_copy(ADMIN, name, copy).matching == name
        self._do.main_key_moves.revoke(ADMIN, name)
        self._do.main_key_moves.delete(ADMIN, name)
        assert removal.purge_deleted() == 1
        recovered = self._upload(value)
        assert (recovered.key.id, recovered.key.state) == (name.id, State.ACTIVE)
        self.in_charge = recovered.key.object_id
        self._use()

    # KEKs and content keys.

    def _new_kek(self) -> Kek:
        return self._do.create_kek(SERVICE, ACME)

    def _use(self, *keks: Kek) -> None:
        """Make content keys under these KEKs, bring others, and unwrap all that there are."""
        for kek in keks:
            name = KekName(ACME, kek.id)
            for made in self._do.generate_content_keys(SERVICE, name, count=2, size=32, context=CONTEXT):
                self.content_keys[made.wrapped] = made.plaintext
            brought = secrets.token_bytes(48)
            (wrapped,) = self._do.wrap_content_keys(SERVICE, name, [(brought, CONTEXT)])
            assert isinstance(wrapped, bytes)
            self.content_keys[wrapped] = brought
        items = [(wrapped, CONTEXT) for wrapped in self.content_keys]
        results = self._do.unwrap_content_keys(SERVICE, ACME, items)
        opened = [None if isinstance(result, KeysteadError) else result.plaintext for result in results]
        assert opened == list(self.content_keys.values())
        self._do.records.write()  # Processes do so several times a second; without it, nothing is done after a while.

    def _learn_keks(self, main_key: bytes) -> None:
        """Learn the KEKs' values as they are wrapped now; those that are known are still the same."""
        for kek in self._do.list_keks(SERVICE, ACME, _ALL).items:
            value = keywrap.aes_key_unwrap(main_key, kek.key.wrapped)
            assert self.keks.setdefault(kek.id, value) == value

    def _rotate(self) -> None:
        rotate = Rotate(self.parts.env)
        assert rotate() > 0
        while rotate():
            pass

    def _refuse_unwraps(self) -> None:
        wrapped = next(iter(self.content_keys))
        changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
        items = [(changed, CONTEXT), (wrapped, {"document": "another"}), (wrapped[:20], CONTEXT), (b"", CONTEXT)]
        results = self._do.unwrap_content_keys(SERVICE, ACME, items)
        results += self._do.unwrap_content_keys(SERVICE, OTHER, [(wrapped, CONTEXT)])
        assert {type(result) for result in results} == {WrappedKeyRejectedError}

    # Main keys.

    def _bring(self, value: bytes, *, activate_now: bool) -> MainKeyView:
        imported = self._upload(value, activate_now=activate_now)
        assert imported.key.fingerprint == fingerprint(value)
        self.main_keys.append(value)
        self.in_charge = imported.key.object_id
        return imported

    def _upload(self, value: bytes, scheme=OAEP_SHA256, *, activate_now: bool = True) -> MainKeyView:
        upload = self._encrypted(value, scheme)
        return self._do.import_main_key(ADMIN, Import(upload, activate_now)).main_key

    def _encrypted(self, value: bytes, scheme=OAEP_SHA256) -> Upload:
        wrapping_key = self._do.get_wrapping_key(ADMIN, ACME, None)
        name = WrappingKeyName(ACME, wrapping_key.id)
        return Upload(ACME, name, encrypt(wrapping_key.public_key, value, scheme))

    def _refuse_uploads(self) -> None:
        """Use up one wrapping key with uploads that are wrong in different ways."""
        spent = self._do.get_wrapping_key(ADMIN, ACME, None)
        for size, scheme in (
            (32, WRONG_PADDINGS["OAEP with SHA-1"]),
            (32, WRONG_PADDINGS["PKCS#1 v1.5"]),
            (16, OAEP_SHA256),
            (33, OAEP_SHA256),
            (64, OAEP_SHA256),
        ):
            self.refused.append(secrets.token_bytes(size))
            with pytest.raises(EncryptedKeyRejectedError):
                self._upload(self.refused[-1], scheme)
        assert self._do.get_wrapping_key(ADMIN, ACME, None).id != spent.id
        gone = Upload(ACME, WrappingKeyName(ACME, spent.id), os.urandom(384))
        with pytest.raises(WrappingKeyNotUsableError):
            self._do.import_main_key(ADMIN, Import(gone, activate_now=True))
        with pytest.raises(WeakKeyError):
            self._upload(bytes(32))

    def _refuse_repeated(self, value: bytes) -> None:
        with pytest.raises(DuplicateKeyError):
            self._upload(value)
