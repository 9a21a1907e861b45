"""A person, as an issuer's bearer token has proven it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

PERSON_PREFIX = "oidc:"
"""What the identity of every person begins with, and of nobody who shows a certificate."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is, and what the issuer says of them.

    Attributes:
        issuer: the issuer's URL, which has no `#`.
        subject: the person's id at the issuer, never given to another; up to 255 visible ASCII characters.
        claims: all that the token says, verified.
    """

    issuer: str
    subject: str
    claims: Mapping[str, object] = field(repr=False)

    @property
    def identity(self) -> str:
        """Return the name under which the log and the record of changes know this person."""
        return f"{PERSON_PREFIX}{self.issuer}#{self.subject}"

    def says(self, claim: str, value: str) -> bool:
        """Return whether a claim is this value, or a list that has it."""
        said = self.claims.get(claim)
        return said == value or (isinstance(said, list) and value in said)
