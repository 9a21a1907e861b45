"""Who may do what: a TOML file that is read again whenever it changes.

    [[grants]]
    identity = "spiffe://example.com/keystead/admin"
    role = "administrator"
    organizations = ["acme"]

`role` is operator or console (these name no organisations), administrator, auditor or service. A console has no other
role. `person` may say that the identity is that of a person, as `oidc:ISSUER#SUBJECT`: the two are then one hand, which
cannot approve what it does itself.

    [[people]]
    issuer = "https://login.example.com"
    claim = "groups"
    value = "keystead-acme"
    role = "administrator"
    organizations = ["acme"]

A person whose bearer token has a claim of this value, or with it in its list, is administrator or auditor. Who is not
in the file may do nothing. A file that cannot be used leaves the last good one in force, and the log says so.
"""

import logging
import os
import threading
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.domain.errors import MalformedNameError
from server.domain.ids import organization_id
from server.domain.roles import UNBOUND_ROLES, Caller, Grant, Role
from server.people.person import Person

_log = logging.getLogger(__name__)


class PolicyError(Exception):
    """The policy file cannot be used; the message says why."""


Word = Annotated[str, Field(min_length=1, max_length=2048)]
_NOT_ABOUT_THE_PERSON = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})
"""Claims that everybody's token has."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    organizations: list[str] = []

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.role in UNBOUND_ROLES) == bool(self.organizations):
            raise ValueError("operator and console name no organizations, every other role at least one")
        for name in self.organizations:
            try:
                organization_id(name)
            except MalformedNameError as error:
                raise ValueError(f"{name!r}: {error}") from error
        return self

    @property
    def grant(self) -> Grant:
        return Grant(self.role, frozenset(organization_id(name) for name in self.organizations))


class _Grant(_Entry):
    identity: Word
    person: Word | None = None


class _PeopleGrant(_Entry):
    role: Literal[Role.ADMINISTRATOR, Role.AUDITOR]
    issuer: Word
    claim: Word
    value: Word

    @model_validator(mode="after")
    def _about_the_person(self) -> Self:
        if self.claim in _NOT_ABOUT_THE_PERSON:
            raise ValueError(f"the claim {self.claim} says nothing about a person")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    grants: list[_Grant] = []
    people: list[_PeopleGrant] = []


_Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Grants:
    """What the file says."""

    callers: Mapping[str, Caller]
    """By identity."""
    people: tuple[_PeopleGrant, ...]


class Policy:
    """The grants of every identity, and of people by what their issuers say of them."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            PolicyError: it cannot be used.
        """
        self._path = path
        self._file = os.fspath(path)
        self._lock = threading.Lock()
        self._version: _Version | None = self._stat()
        self._grants = self._read()

    def caller(self, identity: str) -> Caller:
        """Return what this identity may do, by the file as it is now."""
        return self._now().callers.get(identity) or Caller(identity, ())

    def is_console(self, identity: str) -> bool:
        """Return whether this identity may pass the calls of people on."""
        return any(grant.role is Role.CONSOLE for grant in self.caller(identity).grants)

    def person(self, person: Person) -> Caller:
        """Return what this person may do, by the file as it is now; no grant of an identity holds for a person."""
        mine = (it for it in self._now().people if it.issuer == person.issuer and person.says(it.claim, it.value))
        return Caller(person.identity, tuple(it.grant for it in mine))

    def _now(self) -> _Grants:
        version = self._stat()
        if version != self._version:
            self._read_again(version)
        return self._grants

    def _read_again(self, version: _Version | None) -> None:
        with self._lock:
            if version == self._version:
                return
            try:
                self._grants = self._read()
            except PolicyError as error:
                _log.error("policy_not_read", extra={"detail": str(error), "in_force": "the last good one"})
            else:
                _log.info("policy_read", extra={"identities": len(self._grants.callers)})
            # Only now: whoever sees this version goes by these grants, and everybody else waits for them.
            self._version = version

    def _stat(self) -> _Version | None:
        try:
            status = os.stat(self._file)  # noqa: PTH116 - in every call: pathlib's own takes three times as long
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> _Grants:
        try:
            file = _File.model_validate(tomllib.loads(self._path.read_text()))
        except (OSError, ValueError, RecursionError) as error:  # What is no TOML is one of the latter two.
            raise PolicyError(f"The policy file {self._path} cannot be used: {error}") from error
        grants: dict[str, tuple[Grant, ...]] = {}
        for entry in file.grants:
            grants[entry.identity] = (*grants.get(entry.identity, ()), entry.grant)
        persons: dict[str, str] = {}
        for entry in file.grants:
            if entry.person is not None and persons.setdefault(entry.identity, entry.person) != entry.person:
                raise PolicyError(f"The policy file {self._path} cannot be used: {entry.identity} is two persons.")
        for identity, granted in grants.items():
            if len(granted) > 1 and any(grant.role is Role.CONSOLE for grant in granted):
                raise PolicyError(f"The policy file {self._path} cannot be used: {identity} is a console, and more.")
        callers = {identity: Caller(identity, its, persons.get(identity, "")) for identity, its in grants.items()}
        return _Grants(callers, tuple(file.people))
