"""Every metric of Keystead: one table. No organisation, key or caller is ever a label, and no label grows with use."""

from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What may be done with a number."""

    COUNTER = auto()
    """It only grows, as long as the service runs."""
    GAUGE = auto()
    """It is what it is now."""
    HISTOGRAM = auto()
    """Times in seconds, counted by how long they are."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that is shown.

    Attributes:
        name: as Prometheus sees it.
        kind: what may be done with it.
        help: what it says, one sentence.
        labels: what it is told apart by.
        is_each: whether every process shows its own, under the label `process`; the others are added up.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    is_each: bool = False

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Return the labels, that of the process included."""
        return ("process", *self.labels) if self.is_each else self.labels


BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the times that are counted together, in seconds."""

_METHOD = ("service", "method")

BUILD_INFO = Metric("keystead_build_info", Kind.GAUGE, "1, for the version that runs.", ("version",))

PROCESS_UP = Metric("keystead_process_up", Kind.GAUGE, "1 while the process runs, 0 while it does not.", is_each=True)
PROCESS_STARTS = Metric("keystead_process_starts_total", Kind.COUNTER, "Times the process was started.", is_each=True)
PROCESS_EXITS = Metric(
    "keystead_process_exits_total", Kind.COUNTER, "Times the process ended by itself.", ("status",), is_each=True
)
PROCESS_SILENT = Metric(
    "keystead_process_silent_seconds", Kind.GAUGE, "Time since the process told its numbers last.", is_each=True
)
PROCESS_MEMORY = Metric("keystead_process_resident_bytes", Kind.GAUGE, "Memory of the process.", is_each=True)
PROCESS_CPU = Metric("keystead_process_cpu_seconds_total", Kind.COUNTER, "Processor time of the process.", is_each=True)
SERVING = Metric(
    "keystead_serving", Kind.GAUGE, "1 while the worker's health says SERVING: token and database answer.", is_each=True
)

CALLS = Metric("keystead_calls_total", Kind.COUNTER, "Calls that have ended.", (*_METHOD, "code"))
CALL_SECONDS = Metric(
    "keystead_call_seconds", Kind.HISTOGRAM, "Time from a call's arrival to its answer; streams are left out.", _METHOD
)
CALLS_IN_FLIGHT = Metric("keystead_calls_in_flight", Kind.GAUGE, "Calls that a thread works on now.", _METHOD)

PKCS11_CALLS = Metric(
    "keystead_pkcs11_calls_total", Kind.COUNTER, "Calls of the token's library.", ("function", "result")
)
PKCS11_SECONDS = Metric(
    "keystead_pkcs11_seconds_total", Kind.COUNTER, "Time spent in calls of the token's library.", ("function",)
)
SESSIONS = Metric("keystead_sessions", Kind.GAUGE, "Sessions with the token, in use or idle.", ("state",))
PIN_REFUSED = Metric(
    "keystead_pin_refused", Kind.GAUGE, "1 while the PIN in the file is one that the token has refused.", is_each=True
)
TOKEN_HANGS = Metric(
    "keystead_token_hangs", Kind.GAUGE, "1 while a call of the token's library does not return.", is_each=True
)

KEK_HITS = Metric("keystead_kek_hits_total", Kind.COUNTER, "Uses of a KEK that was loaded already.")
KEK_LOADS = Metric("keystead_kek_loads_total", Kind.COUNTER, "KEKs that were loaded into the token.")
KEK_UNLOADS = Metric("keystead_kek_unloads_total", Kind.COUNTER, "Loaded KEKs that were destroyed in the token.")
KEKS_LOADED = Metric("keystead_keks_loaded", Kind.GAUGE, "KEKs that are in the token now, ready for use.")

AUTHORITY_AGE = Metric(
    "keystead_authority_age_seconds",
    Kind.GAUGE,
    "Time since the worker last knew that the database has nothing newer of the organisations that it serves.",
    is_each=True,
)
AUTHORITY_CHANGES = Metric(
    "keystead_authority_changes_total", Kind.COUNTER, "Changes of an organisation's state that a worker has noticed."
)

DATABASE_ERRORS = Metric(
    "keystead_database_errors_total", Kind.COUNTER, "Transactions that the database ended.", ("kind",)
)
LOG_EVENTS = Metric("keystead_log_events_total", Kind.COUNTER, "Lines of the log.", ("level", "event"))

ROTATIONS = Metric("keystead_rotations", Kind.GAUGE, "Rotations that have not ended, by state.", ("state",))
ROTATION_KEKS_LEFT = Metric("keystead_rotation_keks_left", Kind.GAUGE, "KEKs that wait to be re-wrapped.")
ROTATION_KEKS_FAILED = Metric(
    "keystead_rotation_keks_failed", Kind.GAUGE, "KEKs that would not be re-wrapped, and are tried again."
)
ROTATIONS_DUE = Metric(
    "keystead_rotations_due", Kind.GAUGE, "Uploaded main keys in charge for longer than a year: to be replaced."
)
MAIN_KEYS_MISSING = Metric(
    "keystead_main_keys_missing", Kind.GAUGE, "Main keys whose object is missing in the token, at the last look."
)
STATES_DAMAGED = Metric(
    "keystead_states_damaged",
    Kind.GAUGE,
    "Main keys with another state than the audit log tells, at the last look.",
)
OBJECTS_UNKNOWN = Metric(
    "keystead_token_objects_unknown", Kind.GAUGE, "Keys in the token that no row knows, at the last look."
)

CERTIFICATE_EXPIRY = Metric(
    "keystead_certificate_expiry_timestamp_seconds",
    Kind.GAUGE,
    "When the first certificate of the file in use runs out, as Unix time.",
    ("file",),
    is_each=True,
)

METRICS = (
    BUILD_INFO,
    PROCESS_UP,
    PROCESS_STARTS,
    PROCESS_EXITS,
    PROCESS_SILENT,
    PROCESS_MEMORY,
    PROCESS_CPU,
    SERVING,
    CALLS,
    CALL_SECONDS,
    CALLS_IN_FLIGHT,
    PKCS11_CALLS,
    PKCS11_SECONDS,
    SESSIONS,
    PIN_REFUSED,
    TOKEN_HANGS,
    KEK_HITS,
    KEK_LOADS,
    KEK_UNLOADS,
    KEKS_LOADED,
    AUTHORITY_AGE,
    AUTHORITY_CHANGES,
    DATABASE_ERRORS,
    LOG_EVENTS,
    ROTATIONS,
    ROTATION_KEKS_LEFT,
    ROTATION_KEKS_FAILED,
    ROTATIONS_DUE,
    MAIN_KEYS_MISSING,
    STATES_DAMAGED,
    OBJECTS_UNKNOWN,
    CERTIFICATE_EXPIRY,
)
