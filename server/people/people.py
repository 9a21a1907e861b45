"""Who a bearer token proves: a JSON Web Token, signed by a key that a configured issuer publishes.

Nothing that the token says is believed before its signature is good, save which issuer and which of that issuer's keys
to try. It leads nowhere: no URL, path or key in it is looked at. Source: RFC 7519, RFC 8725.
"""

import logging
import re
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.jwt import JWTClaimsRegistry

from server.domain.errors import BearerTokenExpiredError, BearerTokenRejectedError
from server.people.issuer_keys import IssuerKeys
from server.people.key_sets import IssuerKey
from server.people.person import Person
from server.people.strict_json import parse_object

_log = logging.getLogger(__name__)

TOKEN_LIMIT = 8 * 1024
"""Characters of a token."""
LIFETIME_LIMIT = timedelta(hours=24)
"""From a token's issue to its end: one that is good for longer cannot be taken back in time."""

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What `typ` may say, if it is there: tokens of other kinds prove other things. Source: RFC 8725, 3.11; RFC 9068."""
_BRINGS_ITS_KEY = frozenset({"jku", "jwk", "x5u", "x5c"})
_TELLING_PAUSE = 1.0
"""Seconds between two lines of the log about refused tokens: whoever reaches the port could fill the disk."""


class _Refused(Exception):  # noqa: N818 - it never leaves this module
    """A token proves nobody; the argument is a constant word for the log."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose word counts.

    Attributes:
        url: what it calls itself, `iss`.
        audience: what it calls Keystead: a token for others is not for us.
        algorithms: those that its tokens may be signed with.
        keys: its keys.
    """

    url: str
    audience: str
    algorithms: frozenset[str]
    keys: IssuerKeys


class _Signatures(JWSRegistry):
    """The library's rules for signed tokens, with the limits of this house."""

    max_header_length = max_payload_length = TOKEN_LIMIT


class People:
    """All issuers whose word counts."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        *,
        skew: timedelta,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """Remember them.

        Args:
            issuers: each with a URL of its own.
            skew: how far clocks may differ.
            clock: the present moment, aware UTC.
            monotonic: a clock that does not jump, in seconds.
        """
        self._issuers = {issuer.url: issuer for issuer in issuers}
        self._skew = int(skew.total_seconds())
        self._clock = clock
        self._monotonic = monotonic
        self._telling = threading.Lock()
        self._told, self._untold = float("-inf"), 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the issuers' keys for as long as the block lasts."""
        with ExitStack() as stack:
            for issuer in self._issuers.values():
                stack.enter_context(issuer.keys.kept())
            yield

    def person(self, token: str) -> Person:
        """Return whom the token proves.

        Raises:
            BearerTokenExpiredError: it was good.
            BearerTokenRejectedError: it proves nobody. It never says why: the log does.
            IssuerUnavailableError: its issuer's keys are not known at the moment.
        """
        try:
            return self._person(token)
        except _Refused as refused:
            self._tell(refused.args[0])
            raise BearerTokenRejectedError from None  # What lies behind it is about the token.
        except BearerTokenExpiredError:
            self._tell("expired")
            raise

    def _person(self, token: str) -> Person:
        if len(token) > TOKEN_LIMIT or not _COMPACT.fullmatch(token):
            raise _Refused("malformed")
        header, unproven = (_object(part) for part in token.split(".")[:2])
        named = unproven.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise _Refused("issuer")
        claims = self._signed(token, header, issuer)
        self._demand_in_time_and_ours(claims, issuer)
        subject = claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise _Refused("subject")
        return Person(issuer.url, subject, claims)

    def _signed(self, token: str, header: Mapping[str, object], issuer: Issuer) -> Mapping[str, object]:
        """Return the claims, signed by the issuer."""
        algorithm, kind = header.get("alg"), header.get("typ", "jwt")
        if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
            raise _Refused("algorithm")
        if "crit" in header or "b64" in header:
            raise _Refused("critical")
        if _BRINGS_ITS_KEY & header.keys():
            raise _Refused("brings_its_key")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise _Refused("type")
        key = _key_of(header, issuer)
        if key.algorithm not in {None, algorithm}:
            raise _Refused("algorithm")
        try:
            signed = deserialize_compact(
                token, key.key, registry=_Signatures(algorithms=[algorithm], strict_check_header=False)
            )
        except (JoseError, ValueError) as error:
            raise _Refused("signature") from error
        return _claims(signed.payload or b"")

    def _demand_in_time_and_ours(self, claims: Mapping[str, object], issuer: Issuer) -> None:
        rules = JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=self._skew,
            iss={"essential": True, "value": issuer.url},
            aud={"essential": True, "value": issuer.audience},
            sub={"essential": True},
        )
        ends, issued = claims.get("exp"), claims.get("iat")
        try:
            # Its end comes last: whoever is told that a token has expired may know that it was good.
            rules.validate({name: value for name, value in claims.items() if name != "exp"})
            if not _is_short_lived(issued, ends):
                raise _Refused("lifetime")
            rules.validate_exp(ends)
        except ExpiredTokenError as error:
            raise BearerTokenExpiredError from error
        except JoseError as error:
            raise _Refused("claims") from error

    def _tell(self, why: str) -> None:
        with self._telling:
            now = self._monotonic()
            if now - self._told < _TELLING_PAUSE:
                self._untold += 1
                return
            untold, self._told, self._untold = self._untold, now, 0
        _log.info("bearer_token_refused", extra={"why": why, "not_told_before": untold})


def _object(part: str) -> dict[str, object]:
    try:
        return parse_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError as error:
        raise _Refused("malformed") from error


def _claims(payload: bytes) -> dict[str, object]:
    try:
        return parse_object(payload)
    except ValueError as error:
        raise _Refused("malformed") from error


def _key_of(header: Mapping[str, object], issuer: Issuer) -> IssuerKey:
    key_id = header.get("kid")
    key = issuer.keys.find(key_id) if isinstance(key_id, str) else None
    if key is None:
        raise _Refused("key")
    return key


def _is_short_lived(issued: Any, ends: Any) -> bool:  # noqa: ANN401 - they come from outside
    numbers = all(isinstance(it, int | float) and not isinstance(it, bool) for it in (issued, ends))
    return numbers and 0 < ends - issued <= LIFETIME_LIMIT.total_seconds()
