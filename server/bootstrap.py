"""The only module that knows all the others: it puts the parts of a process together.

A process is a worker (answers callers) or the steward (does what nobody waits for). Each opens the token and the database
itself; nothing is inherited from the supervisor but the path of the settings.
"""

import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import hsm_adapter
from hsm_adapter import CapabilityReport, HsmToken
from server.custody.hsm import HsmCustody
from server.domain.ids import ObjectId, object_id
from server.settings import Settings
from server.steward import loop
from server.storage import SqlStorage
from server.use_cases import Environment
from server.use_cases.objects import TokenObjects
from server.use_cases.rotate import RemoveRetired, Rotate
from server.use_cases.tidy import ExpireWrappingKeys, SettleIntents

_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the present moment, aware UTC."""
    return datetime.now(UTC)


def new_id() -> ObjectId:
    """Return an id that was never used before: 16 random bytes."""
    return object_id(secrets.token_bytes(16))


def sleep_until(moment: float) -> None:
    """Return when the monotonic clock has reached `moment` (seconds)."""
    time.sleep(max(0.0, moment - time.monotonic()))


def hsm_settings(settings: Settings) -> hsm_adapter.HsmSettings:
    """Return what the adapter needs to know, having told SoftHSM where its configuration is."""
    hsm = settings.hsm
    if hsm.softhsm2_conf is not None:
        os.environ["SOFTHSM2_CONF"] = str(hsm.softhsm2_conf)
    return hsm_adapter.HsmSettings(
        module_path=hsm.module,
        token_label=hsm.token_label,
        token_serial=hsm.token_serial,
        pin_file=hsm.pin_file,
        profile=hsm.profile,
        sessions=hsm.sessions,
        init_args=hsm.init_args,
    )


def probe(settings: Settings) -> CapabilityReport:
    """Return what the token can do, by trying it."""
    return hsm_adapter.probe(hsm_settings(settings))


@dataclass(frozen=True)
class Parts:
    """What every process has open."""

    env: Environment
    custody: HsmCustody
    storage: SqlStorage
    objects: TokenObjects


@contextmanager
def opened(settings: Settings) -> Iterator[Parts]:
    """Have token and database open for a block.

    Raises:
        HsmError: the token cannot be opened.
        StorageUnavailableError: the database cannot be reached.
        WrongTokenError: they do not belong together.
    """
    with (
        SqlStorage.open(settings.database.url.get_secret_value()) as storage,
        HsmToken.open(hsm_settings(settings)) as token,
    ):
        custody = HsmCustody(token)
        env = Environment(
            storage=storage,
            custody=custody,
            clock=utc_now,
            new_id=new_id,
            sleep_until=sleep_until,
            monotonic=time.monotonic,
            limits=settings.limits(),
        )
        yield Parts(env, custody, storage, TokenObjects(env))


def chores(parts: Parts) -> Mapping[str, loop.Chore]:
    """Return the steward's chores by name."""
    return {
        "rotate": Rotate(parts.env),
        "remove_retired": RemoveRetired(parts.env, parts.objects),
        "expire_wrapping_keys": ExpireWrappingKeys(parts.env, parts.objects),
        "settle_intents": SettleIntents(parts.env, parts.objects),
    }
