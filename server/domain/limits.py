"""The times and sizes that an operator may set."""

from dataclasses import dataclass
from datetime import timedelta

from server.domain.keks import ENCRYPTIONS_LIMIT
from server.domain.wrapping_keys import Algorithm


@dataclass(frozen=True, slots=True)
class Limits:
    """The times and sizes that an operator may set."""

    wrapping_key_lifetime: timedelta = timedelta(days=7)
    retired_lifetime: timedelta = timedelta(days=7)
    """How long a RETIRED main key stays in the token."""
    deleted_lifetime: timedelta = timedelta(days=30)
    """How long a deletion can be undone; then the key's object in the token is destroyed."""
    revocation_bound: timedelta = timedelta(seconds=5)
    """The time from a revocation after which nothing of its organisation succeeds, on any machine."""
    authority_lease: timedelta = timedelta(seconds=2.5)
    """How long a process relies on what it saw of an organisation. Half the bound: the other half is for answers on
    their way, and for clients that give up waiting within it."""
    default_algorithm: Algorithm = Algorithm.RSA_OAEP_4096_SHA256
    rejection_floor: timedelta = timedelta(milliseconds=250)
    """A rejected upload is answered no sooner than this after its arrival, so that time does not tell why."""
    encryptions_block: int = 4096
    """Encryptions of a KEK that a process takes at once."""
    kek_encryptions: int = ENCRYPTIONS_LIMIT
    """Encryptions after which a KEK gets a new version; 1000, which one call may ask for, to 2^32."""
    rewrap_batch: int = 500
    rewrap_retry: timedelta = timedelta(minutes=1)
    """How long a KEK that would not re-wrap is left alone."""
    unwritten_records: timedelta = timedelta(seconds=10)
    """How long records of content keys may wait to be written, before no more content keys are handed out."""
    serves_unrecorded: bool = False
    """Whether they are handed out all the same."""
    checkpoint_interval: timedelta = timedelta(minutes=1)
    """From one signed checkpoint of an audit log that grows to the next."""
    intent_age: timedelta = timedelta(minutes=10)
    """From this age on, an object that was about to be made is held to be left behind by a crash."""
