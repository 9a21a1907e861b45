"""People: who they are, by the bearer tokens of OpenID Connect issuers. Knows no gRPC, and grants nothing."""

from server.people.configured import demand_keys, people_of
from server.people.people import ALGORITHMS, People
from server.people.person import PERSON_PREFIX, Person
from server.people.reading import ReadingError, demand_safe_url

__all__ = [
    "ALGORITHMS",
    "PERSON_PREFIX",
    "People",
    "Person",
    "ReadingError",
    "demand_keys",
    "demand_safe_url",
    "people_of",
]
