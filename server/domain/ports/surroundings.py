"""Time and fresh ids."""

from collections.abc import Callable
from datetime import datetime

from server.domain.ids import ObjectId

Clock = Callable[[], datetime]
"""Returns the present moment, aware UTC."""

NewId = Callable[[], ObjectId]
"""Returns an id that was never used before."""
