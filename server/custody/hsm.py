"""The domain's custody over a PKCS#11 token: ids become CKA_IDs, and the token's faults become the domain's."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

from typing_extensions import override

import hsm_adapter
from hsm_adapter import HsmError, HsmToken, KekStatistics, KekToUse, Role, Standing, TrustMode
from server.domain.checkpoints import AuditKey, SignatureAlgorithm
from server.domain.errors import (
    EncryptedKeyRejectedError,
    KekRejectedError,
    KeysteadError,
    MainKeyMissingError,
    MainKeyNotTrustedError,
    TokenExhaustedError,
    TokenHangsError,
    TokenUnavailableError,
    WrappedKeyRejectedError,
    WrappingKeyDamagedError,
    WrappingKeyNotUsableError,
)
from server.domain.ids import ObjectId, OrganizationId
from server.domain.intents import ObjectRole
from server.domain.keks import UsableKek, WrappedKek, binding_context
from server.domain.ports import Custody, KeksInUse
from server.domain.receipts import KeyFacts, TokenFacts
from server.domain.wrapping_keys import Algorithm

_log = logging.getLogger(__name__)

T = TypeVar("T")

_ROLES: Mapping[ObjectRole, Role] = MappingProxyType(
    {
        ObjectRole.WRAPPING_KEY: Role.WRAPPING_KEY,
        ObjectRole.MAIN_KEY: Role.MAIN_KEY,
        ObjectRole.AUDIT_KEY: Role.AUDIT_KEY,
    }
)

_OBJECT_ROLES: Mapping[Role, ObjectRole] = MappingProxyType({role: ours for ours, role in _ROLES.items()})


def _translation(  # noqa: PLR0911 - a table, read from top to bottom
    error: HsmError,
    rejected: Callable[[], KeysteadError] = TokenUnavailableError,
    missing: Callable[[], KeysteadError] = TokenUnavailableError,
) -> KeysteadError:
    """Return what an error of the adapter means to the domain.

    Args:
        error: the adapter's.
        rejected: what it means here that the token refused the input.
        missing: what it means here that the token does not have the object.
    """
    match error:
        case hsm_adapter.RejectedInputError():
            return rejected()
        case hsm_adapter.KekRejectedError():
            return KekRejectedError()
        case hsm_adapter.ObjectMissingError():
            return missing()
        case hsm_adapter.KeyNotTrustedError():
            return MainKeyNotTrustedError()
        case hsm_adapter.HsmCapacityError():
            return TokenExhaustedError()
        case hsm_adapter.HsmHangsError():
            return TokenHangsError()  # The watchdog has logged it, once for all.
    _log.error("token_fault", extra={"reason": error.reason, "detail": str(error)})
    return TokenUnavailableError()


@contextmanager
def _translated(
    rejected: Callable[[], KeysteadError] = TokenUnavailableError,
    missing: Callable[[], KeysteadError] = TokenUnavailableError,
) -> Iterator[None]:
    """Turn the adapter's errors into the domain's."""
    try:
        yield
    except HsmError as error:
        raise _translation(error, rejected, missing) from error


class _KeksInUse(KeksInUse):
    """KEKs in the token, in the domain's terms."""

    def __init__(self, keks: hsm_adapter.KeksInUse) -> None:
        self._keks = keks

    @override
    def encrypt(self, kek: UsableKek, plaintext: bytes, associated_data: bytes) -> bytes:
        try:
            return self._keks.encrypt(_to_use(kek), plaintext, associated_data)
        except HsmError as error:
            raise _translation(error, missing=MainKeyMissingError) from error

    @override
    def decrypt(self, kek: UsableKek, sealed: bytes, associated_data: bytes) -> bytes:
        try:
            return self._keks.decrypt(_to_use(kek), sealed, associated_data)
        except HsmError as error:
            raise _translation(error, WrappedKeyRejectedError, MainKeyMissingError) from error


@lru_cache(maxsize=10_000)
def _to_use(kek: UsableKek) -> KekToUse:
    return KekToUse(
        tenant=kek.organization,
        context=binding_context(kek.organization, kek.id),
        stamp=kek.epoch,
        main_key=bytes.fromhex(kek.main_key),
        kek=hsm_adapter.WrappedKek(kek.key.wrapped, kek.key.binding),
    )


class HsmCustody(Custody):
    """Custody over one token."""

    def __init__(self, token: HsmToken) -> None:
        self._token = token

    def check(self) -> None:
        """Return if the token can serve now.

        Raises:
            TokenUnavailableError: it cannot.
        """
        with _translated():
            self._token.check()

    @property
    def kek_statistics(self) -> KekStatistics:
        """What was counted of KEKs that stay loaded."""
        return self._token.kek_statistics

    @property
    @override
    def waits_for_officer(self) -> bool:
        return self._token.trust.mode is TrustMode.TRUSTED

    @override
    def demand_trusted(self, object_id: ObjectId) -> None:
        if not self.waits_for_officer:
            return
        with _translated(missing=MainKeyMissingError):
            standing = self._token.trust.standing(bytes.fromhex(object_id))
        if standing is not Standing.GOOD:
            raise MainKeyNotTrustedError

    @override
    def create_wrapping_key(self, object_id: ObjectId, algorithm: Algorithm) -> bytes:
        with _translated():
            return self._token.create_wrapping_key(bytes.fromhex(object_id), modulus_bits=algorithm.modulus_bits)

    @override
    def check_wrapping_key(self, object_id: ObjectId, public_key: bytes) -> None:
        with _translated(missing=WrappingKeyDamagedError):
            if self._token.wrapping_public_key(bytes.fromhex(object_id)) != public_key:
                raise WrappingKeyDamagedError

    @override
    def examine_main_key(self, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        # The wrapping key may have been used up by an upload that was faster.
        with _translated(rejected=EncryptedKeyRejectedError, missing=WrappingKeyNotUsableError):
            return self._token.examine_main_key(bytes.fromhex(wrapping_key), encrypted)

    @override
    def unwrap_main_key(self, object_id: ObjectId, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        with _translated(rejected=EncryptedKeyRejectedError, missing=WrappingKeyNotUsableError):
            key = self._token.unwrap_main_key(bytes.fromhex(object_id), bytes.fromhex(wrapping_key), encrypted)
        return key.fingerprint

    @override
    def generate_main_key(self, object_id: ObjectId) -> bytes:
        with _translated():
            return self._token.generate_main_key(bytes.fromhex(object_id)).fingerprint

    @override
    def find_main_key(self, object_id: ObjectId) -> bytes | None:
        try:
            with _translated(missing=MainKeyMissingError):
                return self._token.report_main_key(bytes.fromhex(object_id)).fingerprint
        except MainKeyMissingError:
            return None

    @override
    def create_audit_key(self, object_id: ObjectId, algorithm: SignatureAlgorithm) -> bytes:
        with _translated():
            return self._token.audit_keys.create(bytes.fromhex(object_id), hsm_adapter.SignatureAlgorithm(algorithm))

    @override
    def has_audit_key(self, key: AuditKey) -> bool:
        algorithm = hsm_adapter.SignatureAlgorithm(key.algorithm)
        try:
            with _translated():
                self._token.audit_keys.check(bytes.fromhex(key.object_id), algorithm, key.public_key)
        except TokenUnavailableError as error:
            if isinstance(error.__cause__, hsm_adapter.ObjectMissingError | hsm_adapter.HsmPolicyError):
                return False
            raise
        return True

    @override
    def sign(self, key: AuditKey, message: bytes) -> bytes:
        with _translated():
            algorithm = hsm_adapter.SignatureAlgorithm(key.algorithm)
            return self._token.audit_keys.sign(bytes.fromhex(key.object_id), algorithm, message)

    @override
    def describe_main_key(self, object_id: ObjectId) -> KeyFacts | None:
        try:
            with _translated(missing=MainKeyMissingError):
                told = self._token.describe_main_key(bytes.fromhex(object_id))
        except MainKeyMissingError:
            return None
        return KeyFacts(told.attributes, told.mechanisms)

    @override
    def token(self) -> TokenFacts:
        with _translated():
            info = self._token.info
        return TokenFacts(info.manufacturer, info.model, info.serial, info.firmware, self._token.is_software)

    @override
    def objects(self) -> list[tuple[ObjectRole | None, str]]:
        with _translated():
            found = self._token.objects()
        return [(_OBJECT_ROLES.get(role) if role else None, object_id.hex()) for role, object_id in found]

    @override
    def destroy(self, role: ObjectRole, object_id: ObjectId) -> None:
        with _translated():
            self._token.destroy(_ROLES[role], bytes.fromhex(object_id))

    @override
    def create_kek(self, main_key: ObjectId, context: bytes) -> WrappedKek:
        with _translated(missing=MainKeyMissingError):
            kek = self._token.create_kek(bytes.fromhex(main_key), context)
        return WrappedKek(kek.wrapped, kek.binding)

    @override
    def rewrap_keks(
        self, from_main_key: ObjectId, to_main_key: ObjectId, keks: Sequence[tuple[WrappedKek, bytes]]
    ) -> list[bytes | KeysteadError]:
        batch = [(hsm_adapter.WrappedKek(kek.wrapped, kek.binding), context) for kek, context in keks]
        with _translated(missing=MainKeyMissingError):
            results = self._token.rewrap_keks(bytes.fromhex(from_main_key), bytes.fromhex(to_main_key), batch)
        return [result if isinstance(result, bytes) else KekRejectedError() for result in results]

    @override
    def with_keks(self, work: Callable[[KeksInUse], T], first: UsableKek) -> T:
        def run(keks: hsm_adapter.KeksInUse) -> T:
            try:
                return work(_KeksInUse(keks))
            except MainKeyMissingError as error:
                if isinstance(error.__cause__, hsm_adapter.ObjectMissingError):
                    raise error.__cause__ from None  # So that the adapter looks again.
                raise

        try:
            return self._token.with_keks(run, first=_to_use(first))
        except HsmError as error:
            raise _translation(error, missing=MainKeyMissingError) from error

    @override
    def unload_keks(self, organizations: frozenset[OrganizationId] = frozenset()) -> None:
        with suppress(HsmError):
            self._token.unload_keks(organizations)

    @override
    def random(self, size: int) -> bytes:
        with _translated():
            return self._token.random(size)
