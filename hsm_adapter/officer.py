"""The token's security officer, who marks main keys as trusted. It is no part of the service: a step of its own.

A process has one login with a token, the user's or the officer's. So a key is examined with the user's PIN, marked with
the officer's, and examined again: between these logins whoever else has the user's PIN could exchange it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from hsm_adapter import templates
from hsm_adapter.constants import Attribute, Mechanism, User
from hsm_adapter.cryptoki import Cryptoki, find_token
from hsm_adapter.errors import HsmAuthenticationError, HsmPolicyError
from hsm_adapter.library import CryptokiError
from hsm_adapter.module import Module
from hsm_adapter.return_values import Fault, error_for, fault_of
from hsm_adapter.structures import Template
from hsm_adapter.templates import Role, TrustMode
from hsm_adapter.token import HsmSettings, HsmToken
from hsm_adapter.trust import Standing

Pin = Callable[[], AbstractContextManager[bytearray]]
"""Gives the officer's PIN for a block, and wipes it."""


@dataclass(frozen=True, slots=True)
class ExaminedKey:
    """A main key that is one to the last attribute.

    Attributes:
        fingerprint: SHA-256 of AES-KW of 32 zero bytes under the key; 32 bytes.
        is_marked: whether it is trusted already.
    """

    fingerprint: bytes
    is_marked: bool


def examine(settings: HsmSettings, main_key: bytes) -> ExaminedKey:
    """Return a main key of the mode `trusted`, having read back all that makes it one.

    Raises:
        ObjectMissingError: there is no such key.
        HsmPolicyError: it is not as a main key is to be, or was made in another trust mode.
        HsmError: the token cannot be used.
    """
    if settings.trust_mode is not TrustMode.TRUSTED:
        raise HsmPolicyError("In the trust mode flags no main key is marked: set hsm.trust_mode.")
    with HsmToken.open(settings) as token:
        told = token.describe_main_key(main_key)
        fingerprint = token.report_main_key(main_key).fingerprint
        standing = token.trust.standing(main_key)
    if told.mechanisms != (f"CKM_{Mechanism.AES_KEY_WRAP.name}",):
        raise HsmPolicyError("The main key may be used with other mechanisms than AES-KW.")
    if standing is Standing.OTHER_MODE:
        raise HsmPolicyError(
            "The main key was made in another trust mode: what it unwraps could be wrapped by any key."
        )
    return ExaminedKey(fingerprint, is_marked=standing is Standing.GOOD)


def mark(settings: HsmSettings, main_key: bytes, pin: Pin) -> None:
    """Set the mark of a main key, as the security officer. No session of this process with the token may be open.

    Raises:
        HsmAuthenticationError: the token refuses the officer's PIN; it is not tried again.
        HsmPolicyError: the token does not let its officer mark this key.
        HsmError: the token cannot be used.
    """
    cryptoki = Module.load(settings.module_path, settings.init_args).cryptoki
    tokens = find_token(cryptoki, label=settings.token_label, serial=settings.token_serial)
    if len(tokens) != 1:
        raise HsmPolicyError("There is not exactly one token of this name.")
    try:
        session = cryptoki.open_session(tokens[0].slot)
    except CryptokiError as error:
        raise error_for(fault_of(error), error) from error
    try:
        with pin() as value:
            _log_in(cryptoki, session, value)
        try:
            _mark(cryptoki, session, main_key)
        finally:
            with suppress(CryptokiError):
                cryptoki.logout(session)
    finally:
        with suppress(CryptokiError):
            cryptoki.close_session(session)


def _log_in(cryptoki: Cryptoki, session: int, pin: bytearray) -> None:
    try:
        cryptoki.login(session, User.SO, pin)
    except CryptokiError as error:
        if fault_of(error) is Fault.AUTH:
            raise HsmAuthenticationError(f"The security officer cannot log in. {error}") from error
        raise error_for(fault_of(error), error) from error


def _mark(cryptoki: Cryptoki, session: int, main_key: bytes) -> None:
    try:
        handles = cryptoki.find_objects(session, templates.identity(Role.MAIN_KEY, main_key), 2)
        if len(handles) != 1:
            raise HsmPolicyError(
                "The token does not show its security officer just this one main key. Mark it by the vendor's means."
            )
        cryptoki.set_attributes(session, handles[0], Template({Attribute.TRUSTED: True}))
    except CryptokiError as error:
        raise HsmPolicyError(
            f"The token does not let its security officer mark this main key: {error}. Mark it by the vendor's means."
        ) from error
