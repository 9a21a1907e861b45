"""Makes issuers of what an operator sets."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from server.people.issuer_keys import IssuerKeys, KeyTimes
from server.people.key_sets import keys_in
from server.people.people import Issuer, People
from server.people.reading import ReadingError, read_file, read_url

FILE_INTERVAL = timedelta(seconds=2)
"""From one reading of keys in a file to the next."""


class IssuerTerms(Protocol):
    """What is set of one issuer; of `jwks_file` and `jwks_url` one."""

    @property
    def issuer(self) -> str: ...  # noqa: D102 - server/settings.py tells what these are
    @property
    def audience(self) -> str: ...  # noqa: D102
    @property
    def algorithms(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def jwks_file(self) -> Path | None: ...  # noqa: D102
    @property
    def jwks_url(self) -> str | None: ...  # noqa: D102
    @property
    def jwks_ca(self) -> Path | None: ...  # noqa: D102


class PeopleTerms(Protocol):
    """What is set of all of them."""

    @property
    def issuers(self) -> Iterable[IssuerTerms]: ...  # noqa: D102 - likewise
    @property
    def clock_skew(self) -> timedelta: ...  # noqa: D102
    @property
    def keys_refresh(self) -> timedelta: ...  # noqa: D102
    @property
    def keys_lifetime(self) -> timedelta: ...  # noqa: D102


def people_of(terms: PeopleTerms, *, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> People | None:
    """Return whom bearer tokens prove; None if no issuer is set.

    Args:
        terms: what is set.
        clock: the present moment, aware UTC.
        monotonic: a clock that does not jump, in seconds.
    """
    issuers = [_issuer(it, terms, monotonic) for it in terms.issuers]
    return People(issuers, skew=terms.clock_skew, clock=clock, monotonic=monotonic) if issuers else None


def demand_keys(terms: PeopleTerms) -> None:
    """Return if keys in files can be used. A URL that does not answer is an outage, which may pass.

    Raises:
        ReadingError: they cannot.
    """
    for issuer in terms.issuers:
        if issuer.jwks_file is not None:
            keys_in(_read(issuer))


def _issuer(issuer: IssuerTerms, terms: PeopleTerms, monotonic: Callable[[], float]) -> Issuer:
    interval = terms.keys_refresh if issuer.jwks_url else FILE_INTERVAL
    times = KeyTimes(interval.total_seconds(), terms.keys_lifetime.total_seconds())
    keys = IssuerKeys(issuer.issuer, partial(_read, issuer), times, monotonic)
    return Issuer(issuer.issuer, issuer.audience, frozenset(issuer.algorithms), keys)


def _read(issuer: IssuerTerms) -> bytes:
    if issuer.jwks_url is not None:
        return read_url(issuer.jwks_url, issuer.jwks_ca)
    if issuer.jwks_file is not None:
        return read_file(issuer.jwks_file)
    raise ReadingError("neither jwks_file nor jwks_url is set")
