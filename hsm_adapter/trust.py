"""Which main keys may wrap KEKs: in the trust mode `trusted`, those that the token's security officer has marked.

The mark is CKA_TRUSTED, which the token lets nobody but the officer set. KEKs carry CKA_WRAP_WITH_TRUSTED, and main
keys pin that in their UNWRAP_TEMPLATE: so a KEK cannot be wrapped under any other key, whoever has the user's PIN.
"""

from enum import Enum, auto

from hsm_adapter.constants import Attribute
from hsm_adapter.cryptoki import Cryptoki
from hsm_adapter.errors import KeyNotTrustedError
from hsm_adapter.library import CryptokiError
from hsm_adapter.objects import Objects
from hsm_adapter.recovery import Recovery
from hsm_adapter.return_values import Fault, fault_of
from hsm_adapter.sessions import Session, SessionPool
from hsm_adapter.structures import Template
from hsm_adapter.templates import Role, TrustMode, kek_shared


class Standing(Enum):
    """How a main key stands to the trust mode."""

    GOOD = auto()
    """It may wrap KEKs."""
    UNMARKED = auto()
    """The security officer has not marked it, and this mode asks for that."""
    OTHER_MODE = auto()
    """It was made in the other mode: what it pins does not fit."""


class Trust:
    """The trust mode, and how main keys stand to it.

    Attributes:
        mode: the trust mode.
    """

    def __init__(self, pool: SessionPool, objects: Objects, recovery: Recovery, mode: TrustMode) -> None:
        self._cryptoki = pool.cryptoki
        self._objects = objects
        self._recovery = recovery
        self.mode = mode

    def standing(self, main_key: bytes) -> Standing:
        """Return how a main key stands to the trust mode, by what the token says now.

        Raises:
            ObjectMissingError: there is no such key.
        """

        def work(session: Session) -> Standing:
            handle = self._objects.find(session, Role.MAIN_KEY, main_key)
            if self.mode is TrustMode.FLAGS:
                return Standing.OTHER_MODE if self._is_seen_to_pin_trust(session, handle) else Standing.GOOD
            if not pins_trust(self._cryptoki, session.handle, handle):
                return Standing.OTHER_MODE
            return Standing.GOOD if is_marked(self._cryptoki, session.handle, handle) else Standing.UNMARKED

        return self._recovery.run(work)

    def _is_seen_to_pin_trust(self, session: Session, main_key: int) -> bool:
        """Return whether a key is of the mode `trusted`; a token that cannot say so serves in the mode `flags`."""
        try:
            return pins_trust(self._cryptoki, session.handle, main_key)
        except CryptokiError:
            session.broken = True
            return False

    def demand_marked(self, session: Session, main_key: int) -> None:
        """Return if a main key may wrap KEKs; in the mode `flags` the token is not asked.

        Raises:
            KeyNotTrustedError: the security officer has not marked it.
        """
        if self.mode is TrustMode.TRUSTED and not is_marked(self._cryptoki, session.handle, main_key):
            raise KeyNotTrustedError("The token's security officer has not marked this main key as trusted.")


def is_marked(cryptoki: Cryptoki, session: int, main_key: int) -> bool:
    """Return whether a key has the security officer's mark; a token that does not show it has none."""
    try:
        return cryptoki.attribute(session, main_key, Attribute.TRUSTED) == b"\1"
    except CryptokiError as error:
        if fault_of(error) is Fault.POLICY:
            return False
        raise


def pins_trust(cryptoki: Cryptoki, session: int, main_key: int) -> bool:
    """Return whether what is unwrapped under a main key is a KEK of the mode `trusted`, by what the token shows."""
    try:
        pinned = cryptoki.nested(session, main_key, Attribute.UNWRAP_TEMPLATE)
    except CryptokiError as error:
        if fault_of(error) is Fault.POLICY:
            return False
        raise
    wanted = Template(kek_shared(TrustMode.TRUSTED)).values()
    return wanted.items() <= pinned.items()
