"""The only module that knows all the others: it puts the parts of a process together.

A process is a worker (answers callers) or the steward (does what nobody waits for). Each opens the token and the
database itself; nothing is inherited from the supervisor but the path of the settings.
"""

import gc
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import hsm_adapter
from hsm_adapter import CapabilityReport, HsmToken, ModuleMissingError, Standing, TokenMissingError
from server.background import repeated
from server.custody.breaker import demand_answering
from server.custody.hsm import HsmCustody
from server.custody.officer import HsmOfficer
from server.domain.checkpoints import SignatureAlgorithm
from server.domain.errors import TokenHangsError
from server.domain.ids import ObjectId, object_id
from server.grpc_api.callers import Callers
from server.grpc_api.health import Checks
from server.grpc_api.policy import Policy
from server.grpc_api.server import Listen, serve
from server.observability.catalogue import (
    AUTHORITY_AGE,
    AUTHORITY_CHANGES,
    KEK_HITS,
    KEK_LOADS,
    KEK_UNLOADS,
    KEKS_LOADED,
    PIN_REFUSED,
    PKCS11_CALLS,
    PKCS11_SECONDS,
    SESSIONS,
    TOKEN_HANGS,
)
from server.observability.certificates import expiries
from server.observability.logging import log_events
from server.observability.samples import Publisher, Samples, Source, of_this_process, published_in
from server.observability.steward import StewardGauges
from server.observability.tracing import Tracing, traced
from server.observability.worker import WorkerNumbers
from server.open_files import connections_at_each
from server.settings import Settings, SettingsError
from server.steward import loop
from server.steward.chores import chores
from server.storage import SqlStorage, database_errors, migrate
from server.supervisor import process_name
from server.use_cases import Environment, use_cases
from server.use_cases.audit_key import EnsureAuditKey
from server.use_cases.authorities import Authorities
from server.use_cases.common_key import EnsureCommonKey
from server.use_cases.objects import TokenObjects
from server.use_cases.reconcile import Reconcile, Reconciliation
from server.use_cases.trust_main_key import TrustMainKey

if TYPE_CHECKING:
    from server.people.people import People

RECORDS_INTERVAL = 0.15
"""Seconds that a worker rests between two times that it writes down what was done with content keys, and refused."""
KEKS_INTERVAL = 10.0
"""Seconds between two times that a worker unloads the KEKs that were not used for long."""
PUBLISH_INTERVAL = 1.0
"""Seconds between two times that a process tells its numbers."""
_COLLECTOR_THRESHOLDS = (10_000, 20, 20)
"""New objects, and rounds of younger ones, after which Python's collector looks for cycles: 1 to 3 ms each time."""


class UnfitTokenError(Exception):
    """The token cannot do the job, or is not there; the message says why."""


utc_now = partial(datetime.now, UTC)
"""Returns the present moment, aware UTC."""


def new_id() -> ObjectId:
    """Return an id that was never used before: 16 random bytes."""
    return object_id(secrets.token_bytes(16))


monotonic = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Returns the seconds since the machine was started, those that it slept through included."""


def sleep_until(moment: float) -> None:
    """Return when `monotonic` has reached `moment` (seconds)."""
    time.sleep(max(0.0, moment - monotonic()))


def _hsm_settings(settings: Settings) -> hsm_adapter.HsmSettings:
    """Return what the adapter needs to know, having told SoftHSM where its configuration is.

    Raises:
        SettingsError: there is no such profile.
    """
    hsm = settings.hsm
    if hsm.profile not in hsm_adapter.PROFILES:
        raise SettingsError(f"hsm.profile: it must be one of {', '.join(hsm_adapter.PROFILES)}.")
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
        keks=hsm_adapter.KekCacheLimits(hsm.cached_keks, hsm.cached_kek_lifetime.total_seconds()),
        trust_mode=hsm_adapter.TrustMode(hsm.trust_mode),
    )


@contextmanager
def _hanging_calls_seen(settings: Settings) -> Iterator[None]:
    """Watch the calls into the library for a block; if one does not return, end the process, which is then replaced."""
    patience = hsm_adapter.Patience(settings.hsm.hang_warning, settings.hsm.hang_limit)
    # No other end is left: the thread that hangs would be waited for.
    with hsm_adapter.watched(patience, lambda: os._exit(os.EX_TEMPFAIL)):
        yield


def probe(settings: Settings) -> CapabilityReport:
    """Return what the token can do, by trying it.

    Raises:
        HsmError: it cannot even be opened.
    """
    with _hanging_calls_seen(settings):
        return hsm_adapter.probe(_hsm_settings(settings))


@dataclass(frozen=True)
class Parts:
    """What every process has open."""

    env: Environment
    custody: HsmCustody
    storage: SqlStorage
    objects: TokenObjects
    token: HsmToken


@contextmanager
def opened(settings: Settings, tracing: Tracing | None = None) -> Iterator[Parts]:
    """Have token and database open for a block; what is done there is traced, if that is wanted.

    Raises:
        HsmError: the token cannot be opened.
        StorageUnavailableError: the database cannot be reached.
    """
    with (
        SqlStorage.open(settings.database.url.get_secret_value()) as storage,
        _hanging_calls_seen(settings),
        HsmToken.open(_hsm_settings(settings)) as token,
    ):
        custody = HsmCustody(token)
        env = Environment(
            storage=tracing.steps_of(storage, "database") if tracing else storage,
            custody=tracing.steps_of(custody, "token") if tracing else custody,
            clock=utc_now,
            new_id=new_id,
            sleep_until=sleep_until,
            monotonic=monotonic,
            limits=settings.limits(),
        )
        yield Parts(env, custody, storage, TokenObjects(env), token)


def prepare(settings: Settings) -> None:
    """Make ready what all processes need: the schema, a fit token, the common key, the audit key, a good policy.

    Raises:
        ListenError, PolicyError, SettingsError, UnfitTokenError, WrongTokenError: the operator must act.
        HsmError, KeysteadError: token or database do not answer.
    """
    Policy(settings.policy.file)
    _listen(settings).check()
    _demand_issuers(settings)
    migrate(settings.database.url.get_secret_value())
    try:
        report = probe(settings)
    except (ModuleMissingError, TokenMissingError) as error:
        # Later it would be an outage. At the start it is likely that a setting is wrong, which no waiting mends.
        raise UnfitTokenError(str(error)) from error
    if not report.ok:
        faults = "; ".join(f"{check.name}: {check.fault}" for check in report.needed if check.fault)
        raise UnfitTokenError(f"The token {report.token.label!r} cannot do the job. {faults}.")
    with opened(settings) as parts:
        EnsureCommonKey(parts.env, parts.objects)()
        _demand_trust(parts)
        if report.signature_algorithm is not None:
            EnsureAuditKey(parts.env, parts.objects)(SignatureAlgorithm(report.signature_algorithm.value))


def _demand_trust(parts: Parts) -> None:
    """Return if the common key fits the trust mode.

    Raises:
        UnfitTokenError: it was made in the other mode, or the security officer has not marked it.
    """
    with parts.storage.read() as tx:
        common = tx.main_keys.common()
    standing = Standing.GOOD if common is None else parts.token.trust.standing(bytes.fromhex(common[0]))
    if standing is Standing.OTHER_MODE:
        raise UnfitTokenError(
            "The common key in the token was not made in the trust mode that hsm.trust_mode says. The mode is chosen "
            "before the first start, and stays."
        )
    if standing is Standing.UNMARKED:
        raise UnfitTokenError(
            "The common key may not wrap KEKs yet. The HSM's security officer has to mark it once: "
            "keystead hsm trust --common-key."
        )


def run_worker(settings: Settings, stopping: threading.Event) -> None:
    """Answer callers until told to stop.

    Raises:
        PolicyError, ListenError, TracingError: the operator must act.
        HsmError, KeysteadError: token or database do not answer.
    """
    policy = Policy(settings.policy.file)
    people = _people(settings)
    numbers = WorkerNumbers()
    certificates = expiries(certificate=settings.tls.certificate, client_ca=settings.tls.client_ca)
    with traced(settings.tracing.endpoint, process_name("worker")) as tracing, opened(settings, tracing) as parts:
        do = use_cases(parts.env)
        checks = Checks(
            (parts.custody.check, parts.storage.check), settings.hsm.hang_warning, token_answers=demand_answering
        )
        with (
            people.kept() if people else nullcontext(),
            do.authorities.kept(),
            repeated("records", RECORDS_INTERVAL, do.records.write, last=lambda: do.records.write(is_last=True)),
            repeated("keks", KEKS_INTERVAL, parts.custody.unload_keks),
            _published(parts, numbers.samples, certificates, lambda: _kek_samples(parts.custody, do.authorities)),
        ):
            _spare_the_collector()
            serve(_listen(settings), do, Callers(policy, people), checks, stopping, numbers=numbers, tracing=tracing)


# What reads tokens and keys takes a while to load, and most services have no issuers.


def _demand_issuers(settings: Settings) -> None:
    """Return if the keys of all issuers can be used, as far as they are in files.

    Raises:
        SettingsError: they cannot.
    """
    if settings.people.issuers:
        from server.people.configured import demand_keys  # noqa: PLC0415 - see above
        from server.people.reading import ReadingError  # noqa: PLC0415 - likewise

        try:
            demand_keys(settings.people)
        except ReadingError as error:
            raise SettingsError(f"people.issuers: {error}.") from error


def _people(settings: Settings) -> "People | None":
    """Return whom bearer tokens prove; None if no issuer is set."""
    if not settings.people.issuers:
        return None
    from server.people.configured import people_of  # noqa: PLC0415 - likewise

    return people_of(settings.people, clock=utc_now, monotonic=monotonic)


def _spare_the_collector() -> None:
    """Let Python's collector of cycles pass over what is there now: it stays as long as the process.

    To look at all of it takes more than 50 ms, in which no call is answered. And it looks less often than by default at
    what is new, since calls make nearly no cycles, but a batch makes more objects than the default allows for.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


@contextmanager
def _published(parts: Parts, *sources: Source) -> Iterator[None]:
    """Tell the supervisor's endpoint the numbers of this process for a block, if it wants them."""
    path = published_in()
    if path is None:
        yield
        return
    everywhere = (of_this_process, lambda: _token_samples(parts.token), database_errors.samples, log_events.samples)
    with repeated("metrics", PUBLISH_INTERVAL, Publisher(path, (*everywhere, *sources)).publish):
        yield


def _token_samples(token: HsmToken) -> Samples:
    told = token.statistics()
    return {
        PKCS11_CALLS.name: {call: float(count) for call, count in told.calls.items()},
        PKCS11_SECONDS.name: {(function,): seconds for function, seconds in told.seconds.items()},
        SESSIONS.name: {("in_use",): float(told.sessions_in_use), ("idle",): float(told.sessions_idle)},
        PIN_REFUSED.name: {(): float(told.pin_refused)},
        TOKEN_HANGS.name: {(): float(_hangs())},
    }


def _hangs() -> bool:
    try:
        demand_answering()
    except TokenHangsError:
        return True
    return False


def _kek_samples(custody: HsmCustody, authorities: Authorities) -> Samples:
    """Return how KEKs that stay loaded serve, and how well is known who may work."""
    keks = custody.kek_statistics
    return {
        KEK_HITS.name: {(): float(keks.hits)},
        KEK_LOADS.name: {(): float(keks.loads)},
        KEK_UNLOADS.name: {(): float(keks.unloads)},
        KEKS_LOADED.name: {(): float(keks.loaded)},
        AUTHORITY_AGE.name: {(): authorities.age},
        AUTHORITY_CHANGES.name: {(): float(authorities.changes_seen)},
    }


def _listen(settings: Settings) -> Listen:
    addresses = 1 if settings.server.people_address is None else 2
    return Listen(
        address=settings.server.address,
        people_address=settings.server.people_address,
        certificate=settings.tls.certificate,
        key=settings.tls.key,
        client_ca=settings.tls.client_ca,
        sessions=settings.hsm.sessions,
        queue=settings.server.queue,
        connections=connections_at_each(addresses, settings.server.connections),
        idle=settings.server.idle_connection,
    )


def run_steward(settings: Settings, stopping: threading.Event) -> None:
    """Do what nobody waits for until told to stop.

    Raises:
        HsmError, KeysteadError: token or database do not answer.
    """
    gauges = StewardGauges()
    with opened(settings) as parts, _published(parts, gauges.samples):
        loop.run(chores(parts.env, parts.objects, gauges), stopping)


def reconcile(settings: Settings) -> Reconciliation:
    """Return what does not fit between token and database.

    Raises:
        HsmError, KeysteadError: token or database do not answer.
    """
    with opened(settings) as parts:
        return Reconcile(parts.env)()


@contextmanager
def opened_for_officer(settings: Settings) -> Iterator[TrustMainKey]:
    """Have what the token's security officer does for a block; the token is opened for each of its steps.

    Raises:
        StorageUnavailableError: the database cannot be reached.
    """
    with SqlStorage.open(settings.database.url.get_secret_value()) as storage, _hanging_calls_seen(settings):
        yield TrustMainKey(storage, HsmOfficer(_hsm_settings(settings)), utc_now)
