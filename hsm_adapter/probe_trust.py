"""What a token must keep in the trust mode `trusted`, as far as it can be tried without its security officer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hsm_adapter import templates
from hsm_adapter.constants import Attribute, Mechanism
from hsm_adapter.cryptoki import Cryptoki
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KEY_SIZE, AES_KW
from hsm_adapter.objects import Objects
from hsm_adapter.profiles import Profile
from hsm_adapter.sessions import Session
from hsm_adapter.structures import Template
from hsm_adapter.templates import TrustMode
from hsm_adapter.trust import is_marked, pins_trust

_OWN_KEY = bytes(range(64, 96))
"""A public test value: the key of somebody who has the PIN."""


class ProbeError(Exception):
    """A known answer is another one, or an attack works."""


@contextmanager
def must_fail(what: str) -> Iterator[None]:
    """Expect the token to refuse what the block does."""
    try:
        yield
    except CryptokiError:
        return
    raise ProbeError(f"the token {what}")


def demand(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Return if the condition holds."""
    if not condition:
        raise ProbeError(message)


class TrustTrial:
    """The checks, each in a session of its own."""

    def __init__(self, cryptoki: Cryptoki, objects: Objects, profile: Profile) -> None:
        self._p11 = cryptoki
        self._objects = objects
        self._profile = profile
        self._roles = templates.kek_roles(profile, TrustMode.TRUSTED)

    def checks(self) -> Iterator[tuple[str, Callable[[Session], None]]]:
        """Return what must hold, and how it is tried."""
        yield "a KEK says that only trusted keys wrap it", self._reads_back
        yield "a main key says what it pins, and that it is not trusted", self._shows
        yield "a main key that is not trusted wraps no such KEK", self._no_untrusted_wrap
        yield "nor does a key of one's own", self._no_own_wrap
        yield "under a main key, a KEK unwraps as such a KEK alone", self._no_other_unwrap
        yield "nobody but the security officer makes a key trusted", self._no_mark

    def _main_key(self, session: Session) -> int:
        template = templates.generated_main_key(b"probe", TrustMode.TRUSTED, token=False)
        return self._p11.generate_key(session.handle, Mechanism.AES_KEY_GEN, template)

    def _born(self, session: Session) -> int:
        return self._p11.generate_key(session.handle, Mechanism.AES_KEY_GEN, self._roles.birth)

    def _wrapped(self, session: Session, main_key: int) -> bytes:
        """Return a key under a main key that is not trusted: one that does not ask for that."""
        plain = self._p11.generate_key(session.handle, Mechanism.AES_KEY_GEN, templates.kek_birth())
        return self._p11.wrap_key(session.handle, AES_KW, main_key, plain)

    def _reads_back(self, session: Session) -> None:
        self._objects.read_back(session, self._born(session), self._roles.transit_flags)
        main_key = self._main_key(session)
        wrapped = self._wrapped(session, main_key)
        for template, flags in (
            (self._roles.use, self._roles.use_flags),
            (self._roles.rewrap, self._roles.transit_flags),
        ):
            kek = self._p11.unwrap_key(session.handle, AES_KW, main_key, wrapped, template)
            self._objects.read_back(session, kek, flags)

    def _shows(self, session: Session) -> None:
        main_key = self._main_key(session)
        value = self._p11.attribute(session.handle, main_key, Attribute.TRUSTED)
        demand(value == b"\0", f"CKA_TRUSTED of a new main key reads {value.hex()}")
        demand(pins_trust(self._p11, session.handle, main_key), "CKA_UNWRAP_TEMPLATE of a main key reads otherwise")

    def _no_untrusted_wrap(self, session: Session) -> None:
        main_key, kek = self._main_key(session), self._born(session)
        with must_fail("wraps a KEK under a main key that is not trusted"):
            self._p11.wrap_key(session.handle, AES_KW, main_key, kek)

    def _no_own_wrap(self, session: Session) -> None:
        rights: templates.Attributes = {**templates.AES, Attribute.TOKEN: False, Attribute.WRAP: True}
        own = self._p11.create_object(session.handle, Template({**rights, Attribute.VALUE: _OWN_KEY}))
        kek = self._born(session)
        with must_fail("wraps a KEK under a key that is known outside"):
            self._p11.wrap_key(session.handle, AES_KW, own, kek)

    def _no_other_unwrap(self, session: Session) -> None:
        main_key = self._main_key(session)
        wrapped = self._wrapped(session, main_key)
        weak = templates.kek_rewrap(self._profile)
        try:
            kek = self._p11.unwrap_key(session.handle, AES_KW, main_key, wrapped, weak)
        except CryptokiError:
            return
        # A token may also answer with a key as the main key's template has it.
        self._objects.read_back(session, kek, self._roles.transit_flags)

    def _no_mark(self, session: Session) -> None:
        trusted: templates.Attributes = {Attribute.TRUSTED: True}
        rights: templates.Attributes = {**templates.AES, Attribute.TOKEN: False, Attribute.WRAP: True}
        plain = self._p11.create_object(session.handle, Template({**rights, Attribute.VALUE: _OWN_KEY}))
        attempts: tuple[Callable[[], int], ...] = (
            lambda: self._p11.create_object(session.handle, Template({**rights, **trusted, Attribute.VALUE: _OWN_KEY})),
            lambda: self._p11.generate_key(
                session.handle,
                Mechanism.AES_KEY_GEN,
                Template({**rights, **trusted, Attribute.VALUE_LEN: AES_KEY_SIZE}),
            ),
            lambda: self._p11.copy_object(session.handle, plain, Template(trusted)),
            lambda: self._set(session, plain),
            lambda: self._set(session, self._main_key(session)),
        )
        for attempt in attempts:
            try:
                handle = attempt()
            except CryptokiError:
                continue
            demand(not is_marked(self._p11, session.handle, handle), "the token lets its user make a key trusted")

    def _set(self, session: Session, key: int) -> int:
        self._p11.set_attributes(session.handle, key, Template({Attribute.TRUSTED: True}))
        return key
