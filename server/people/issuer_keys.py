"""The keys of one issuer, read again and again, so that a key which is withdrawn is not used for long.

A thread reads them. Callers wait for it only when a token names a key that is not known, one caller at a time: so
tokens of no worth hold nothing up, and do not make the issuer be asked more often than a pause allows.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from server.domain.errors import IssuerUnavailableError
from server.people.key_sets import IssuerKey, keys_in
from server.people.reading import ReadingError

_log = logging.getLogger(__name__)

_NONE: Mapping[str, IssuerKey] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """How keys are read, in seconds.

    Attributes:
        refresh: from one reading to the next.
        lifetime: how long keys are used after they were read last.
        pause: the least time between two readings that an unknown key causes, or a failure.
        patience: how long a caller waits for a reading.
    """

    refresh: float
    lifetime: float
    pause: float = 10.0
    patience: float = 3.0


class IssuerKeys:
    """The keys of one issuer, by their ids."""

    def __init__(self, issuer: str, read: Callable[[], bytes], times: KeyTimes, monotonic: Callable[[], float]) -> None:
        """Know no key yet.

        Args:
            issuer: whose keys they are, for the log.
            read: returns the issuer's key set, or raises ReadingError.
            times: how often it is read, and for how long it is good.
            monotonic: a clock that does not jump, in seconds.
        """
        self._issuer = issuer
        self._read = read
        self._times = times
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._document = b""
        self._keys = _NONE
        self._good_until = self._tried = self._told = float("-inf")
        self._fault = ""
        self._readings = 0
        self._is_wanted = self._is_reading = self._is_over = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Read them for as long as the block lasts."""
        thread = threading.Thread(target=self._run, name="issuer-keys", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()
            # It is not waited for: it may be waiting for the issuer.

    def find(self, key_id: str) -> IssuerKey | None:
        """Return the key of this id; None if the issuer has none.

        Raises:
            IssuerUnavailableError: that is not known at the moment.
        """
        with self._changed:
            key = self._good().get(key_id)
            if key is not None:
                return key
            if self._is_wanted or self._is_reading:
                # Somebody waits already. Those who come now may ask again, and hold no thread meanwhile.
                raise IssuerUnavailableError
            if self._monotonic() - self._tried >= self._times.pause:
                self._is_wanted = True
                self._changed.notify_all()
                seen = self._readings
                self._changed.wait_for(lambda: self._readings != seen or self._is_over, self._times.patience)
                if self._readings == seen:
                    raise IssuerUnavailableError
            keys = self._good()
            if not keys or (self._fault and key_id not in keys):
                raise IssuerUnavailableError
            return keys.get(key_id)

    def read(self) -> None:
        """Read them now; what is wrong with that is told in the log, and leaves the last good ones."""
        with self._changed:
            self._is_wanted, self._is_reading = False, True
            self._tried = began = self._monotonic()
        document, keys, fault = self._document, self._keys, ""
        try:
            document = self._read()
            if document != self._document:
                keys = keys_in(document)
        except ReadingError as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - whatever an issuer publishes must not end the thread
            fault = type(error).__name__
        with self._changed:
            if fault:
                self._tell(fault)
            else:
                if document != self._document or self._fault:
                    _log.info("issuer_keys_read", extra={"issuer": self._issuer, "keys": len(keys)})
                self._document, self._keys, self._good_until = document, keys, began + self._times.lifetime
            self._fault = fault
            self._readings += 1
            self._is_reading = False
            self._changed.notify_all()

    def _good(self) -> Mapping[str, IssuerKey]:
        return self._keys if self._monotonic() < self._good_until else _NONE

    def _tell(self, fault: str) -> None:
        now = self._monotonic()
        if fault != self._fault or now - self._told >= self._times.refresh:
            self._told = now
            in_force = "the last good ones" if self._good() else "none"
            _log.error("issuer_keys_not_read", extra={"issuer": self._issuer, "detail": fault, "in_force": in_force})

    def _run(self) -> None:
        while not self._is_over:
            self.read()
            with self._changed:
                rest = min(self._times.refresh, self._times.pause) if self._fault else self._times.refresh
                self._changed.wait_for(lambda: self._is_wanted or self._is_over, rest)
