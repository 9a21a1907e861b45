"""Keystead in one process: the use cases over a real token and a real database, with a clock that tests turn."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from hsm_adapter import HsmSettings, HsmToken, TrustMode
from server.custody.hsm import HsmCustody
from server.domain.checkpoints import SignatureAlgorithm
from server.domain.errors import KeysteadError
from server.domain.ids import ObjectId, OrganizationId, WrappingKeyName
from server.domain.keks import Kek
from server.domain.main_keys import MainKey
from server.domain.ports import Custody, Storage
from server.domain.roles import Caller, Grant, Role
from server.domain.wrapping_keys import Algorithm
from server.observability.steward import StewardGauges
from server.steward.chores import chores
from server.storage import SqlStorage, migrate
from server.use_cases import FREE, Environment, Import, Limits, Upload, UseCases, use_cases
from server.use_cases.audit_key import EnsureAuditKey
from server.use_cases.common_key import EnsureCommonKey
from server.use_cases.objects import TokenObjects
from server.use_cases.reconcile import Reconcile, Reconciliation
from tests.support.crypto import encrypt
from tests.support.factories import NOW, new_id
from tests.support.steps import SteppedCustody, SteppedStorage, Steps
from tests.support.token import make_token

MUCH = 1000
"""More of anything than a test has."""

LIMITS = Limits(
    default_algorithm=Algorithm.RSA_OAEP_3072_SHA256,
    rejection_floor=timedelta(0),
    rewrap_batch=3,
    encryptions_block=4,
    authority_lease=timedelta(0),
)


@dataclass
class World:
    """The whole of it. `now` is the clock, and `monotonic` goes with it unless a test turns only one of them."""

    storage: Storage
    custody: Custody
    limits: Limits = LIMITS
    steps: Steps = field(default_factory=Steps)
    now: datetime = NOW
    monotonic: float = 1000.0
    slept_until: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env = Environment(
            storage=SteppedStorage(self.storage, self.steps),
            custody=SteppedCustody(self.custody, self.steps),
            clock=lambda: self.now,
            new_id=new_id,
            sleep_until=self.slept_until.append,
            monotonic=lambda: self.monotonic,
            limits=self.limits,
        )
        self.restart()

    def restart(self) -> None:
        """Begin as new processes do: nothing is remembered but rows and objects."""
        objects = TokenObjects(self.env)
        EnsureCommonKey(self.env, objects)()
        EnsureAuditKey(self.env, objects)(SignatureAlgorithm.ECDSA_P256_SHA256)
        self.do: UseCases = use_cases(self.env)
        self.gauges = StewardGauges()
        self.chores = chores(self.env, objects, self.gauges)

    def pass_time(self, span: timedelta) -> None:
        self._write_records()
        self.now += span
        self.monotonic += span.total_seconds()

    def _write_records(self) -> None:
        """Do what a worker does several times a second: it is no step of whatever is tested."""
        kept = self.steps.names, self.steps.crash_after
        self.steps.begin()
        with suppress(KeysteadError):
            self.do.records.write()
        self.steps.names, self.steps.crash_after = kept

    def steward(self) -> int:
        """Do every chore until there is nothing left to do; return how much was done."""
        total = 0
        for _ in range(MUCH):
            done = sum(chore() for chore in self.chores.values())
            total += done
            if not done:
                return total
        raise AssertionError("the steward finds no end")

    def reconcile(self) -> Reconciliation:
        return Reconcile(self.env)()

    # Callers, and what they begin with.

    def admin(self, org: OrganizationId) -> Caller:
        return Caller(f"spiffe://test/admin/{org}", (Grant(Role.ADMINISTRATOR, frozenset({org})),))

    def user(self, org: OrganizationId) -> Caller:
        return Caller(f"spiffe://test/service/{org}", (Grant(Role.SERVICE, frozenset({org})),))

    def new_organization(self) -> OrganizationId:
        org = OrganizationId(f"org-{secrets.token_hex(4)}")
        operator = Caller("spiffe://test/operator", (Grant(Role.OPERATOR, frozenset()),))
        self.do.create_organization(operator, org, "")
        return org

    def upload(self, org: OrganizationId, value: bytes) -> Upload:
        wrapping_key = self.do.get_wrapping_key(self.admin(org), org, None)
        name = WrappingKeyName(org, wrapping_key.id)
        return Upload(org, name, encrypt(wrapping_key.public_key, value))

    def bring(
        self, org: OrganizationId, value: bytes | None = None, *, activate_now: bool = True, terms=FREE
    ) -> MainKey:
        wanted = Import(self.upload(org, value or os.urandom(32)), activate_now)
        return self.do.import_main_key(self.admin(org), wanted, terms).main_key.key

    def new_kek(self, org: OrganizationId) -> Kek:
        return self.do.create_kek(self.user(org), org)

    # What there is.

    def keys(self, org: OrganizationId) -> dict[ObjectId, MainKey]:
        with self.storage.read() as tx:
            return {key.id: key for key in tx.main_keys.page(org, None, MUCH, show_removed=True)}

    def key(self, org: OrganizationId, key_id: ObjectId) -> MainKey:
        return self.keys(org)[key_id]

    def in_charge(self, org: OrganizationId) -> MainKey:
        with self.storage.read() as tx:
            return self.keys(org)[tx.organizations.find(org).main_key]

    def epoch(self, org: OrganizationId) -> int:
        with self.storage.read() as tx:
            return tx.organizations.find(org).epoch

    def keks(self, org: OrganizationId) -> list[Kek]:
        with self.storage.read() as tx:
            return tx.keks.page(org, None, 100 * MUCH)

    def object_ids(self) -> set[str]:
        return {object_id for _, object_id in self.custody.objects()}


def _settings(folder: Path) -> HsmSettings:
    """The settings of the token in a folder, which may be a copy of the one that it was made in."""
    token = folder / "token"
    if not token.exists():
        make_token(token)
    configuration = token / "softhsm2.conf"
    lines = configuration.read_text().splitlines()
    lines[0] = f"directories.tokendir = {token / 'tokens'}"
    configuration.write_text("\n".join(lines) + "\n")
    return HsmSettings(token / "libsofthsm2.so", "keystead", None, token / "pin", profile="softhsm")


def prepare(folder: Path) -> None:
    """Make a token and a database in a folder, as they are before the first start."""
    _settings(folder)
    migrate(f"sqlite:///{folder}/keystead.db")


@contextmanager
def opened(
    folder: Path,
    *,
    url: str | None = None,
    steps: Steps | None = None,
    custody: Callable[[HsmToken], Custody] = HsmCustody,
    limits: Limits = LIMITS,
    trust_mode: TrustMode = TrustMode.FLAGS,
) -> Iterator[World]:
    """Have a world for a block: what it consists of is in the folder, and made if it is not there."""
    settings = replace(_settings(folder), trust_mode=trust_mode)
    url = url or f"sqlite:///{folder}/keystead.db"
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "token/softhsm2.conf")
    try:
        migrate(url)
        with SqlStorage.open(url) as storage, HsmToken.open(settings) as token:
            yield World(storage, custody(token), limits, steps or Steps())
    finally:
        if before is None:
            del os.environ["SOFTHSM2_CONF"]
        else:
            os.environ["SOFTHSM2_CONF"] = before


def later(world: World, **limits) -> World:
    """Return the same world with other limits, as after a restart with other settings."""
    again = World(world.storage, world.custody, replace(world.limits, **limits), world.steps, world.now)
    again.monotonic = world.monotonic
    return again
