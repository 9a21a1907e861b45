"""What the steward finds out, for operators to see."""

from server.observability.catalogue import (
    MAIN_KEYS_MISSING,
    OBJECTS_UNKNOWN,
    ROTATION_KEKS_FAILED,
    ROTATION_KEKS_LEFT,
    ROTATIONS,
    ROTATIONS_DUE,
    STATES_DAMAGED,
)
from server.observability.samples import Gauge, Labels, Samples, Value, together


class StewardGauges:
    """The steward's gauges; each is shown once it was looked for."""

    def __init__(self) -> None:
        self.rotations_due = Gauge(ROTATIONS_DUE)
        self.main_keys_missing = Gauge(MAIN_KEYS_MISSING)
        self.states_damaged = Gauge(STATES_DAMAGED)
        self.objects_unknown = Gauge(OBJECTS_UNKNOWN)
        self.rotations_running = Gauge(ROTATIONS)
        self.rotations_paused = Gauge(ROTATIONS)
        self.keks_left = Gauge(ROTATION_KEKS_LEFT)
        self.keks_failed = Gauge(ROTATION_KEKS_FAILED)

    def samples(self) -> Samples:
        """Return what is known."""
        gauges = (
            self.rotations_due,
            self.main_keys_missing,
            self.states_damaged,
            self.objects_unknown,
            self.keks_left,
            self.keks_failed,
        )
        states = (("RUNNING", self.rotations_running), ("PAUSED", self.rotations_paused))
        rotations: dict[Labels, Value] = {(state,): gauge.value for state, gauge in states if gauge.value is not None}
        return {**together([gauge.samples for gauge in gauges]), ROTATIONS.name: rotations}
