"""The domain's custody over a PKCS#11 token: ids become CKA_IDs, and the token's faults become the domain's."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType

from typing_extensions import override

import hsm_adapter
from hsm_adapter import HsmError, HsmToken, Role
from server.domain.errors import (
    EncryptedKeyRejectedError,
    KekRejectedError,
    KeysteadError,
    MainKeyMissingError,
    TokenExhaustedError,
    TokenUnavailableError,
    WrappedKeyRejectedError,
    WrappingKeyDamagedError,
    WrappingKeyNotUsableError,
)
from server.domain.ids import ObjectId
from server.domain.intents import ObjectRole
from server.domain.keks import WrappedKek
from server.domain.ports import Custody, KekInUse
from server.domain.wrapping_keys import Algorithm

_log = logging.getLogger(__name__)

_ROLES: Mapping[ObjectRole, Role] = MappingProxyType(
    {ObjectRole.WRAPPING_KEY: Role.WRAPPING_KEY, ObjectRole.MAIN_KEY: Role.MAIN_KEY}
)

_OBJECT_ROLES: Mapping[Role, ObjectRole] = MappingProxyType({role: ours for ours, role in _ROLES.items()})


@contextmanager
def _translated(
    rejected: Callable[[], KeysteadError] = TokenUnavailableError,
    missing: Callable[[], KeysteadError] = TokenUnavailableError,
) -> Iterator[None]:
    """Turn the adapter's errors into the domain's.

    Args:
        rejected: what it means here that the token refused the input.
        missing: what it means here that the token does not have the object.
    """
    try:
        yield
    except (hsm_adapter.RejectedInputError, hsm_adapter.KekBindingError) as error:
        raise rejected() from error
    except hsm_adapter.ObjectMissingError as error:
        raise missing() from error
    except hsm_adapter.HsmCapacityError as error:
        raise TokenExhaustedError from error
    except HsmError as error:
        _log.error("token_fault", extra={"reason": error.reason, "detail": str(error)})
        raise TokenUnavailableError from error


class _KekInUse(KekInUse):
    """A KEK in the token, in the domain's terms."""

    def __init__(self, kek: hsm_adapter.KekInUse) -> None:
        self._kek = kek

    @override
    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        with _translated():
            return self._kek.encrypt(plaintext, associated_data)

    @override
    def decrypt(self, sealed: bytes, associated_data: bytes) -> bytes:
        with _translated(rejected=WrappedKeyRejectedError):
            return self._kek.decrypt(sealed, associated_data)


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
    def use_kek(self, main_key: ObjectId, kek: WrappedKek, context: bytes) -> AbstractContextManager[KekInUse]:
        return self._use(bytes.fromhex(main_key), hsm_adapter.WrappedKek(kek.wrapped, kek.binding), context)

    @contextmanager
    def _use(self, main_key: bytes, kek: hsm_adapter.WrappedKek, context: bytes) -> Iterator[KekInUse]:
        with (
            _translated(rejected=KekRejectedError, missing=MainKeyMissingError),
            self._token.use_kek(main_key, kek, context) as kek_in_use,
        ):
            yield _KekInUse(kek_in_use)

    @override
    def random(self, size: int) -> bytes:
        with _translated():
            return self._token.random(size)
