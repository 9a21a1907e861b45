"""What an operator sets: one TOML file. KEYSTEAD_SECTION__NAME in the environment goes before what the file says.

Relative paths, also that of a SQLite file, are relative to the settings file's folder.
"""

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from server.domain.content_keys import ITEMS_LIMIT
from server.domain.keks import ENCRYPTIONS_LIMIT
from server.domain.limits import Limits
from server.domain.wrapping_keys import Algorithm
from server.people.terms import ALGORITHMS, demand_safe_url

PositiveTime = Annotated[timedelta, Field(gt=timedelta(0))]
"""Written as ISO 8601 ("P7D", "PT10M") or as seconds."""

_SQLITE = "sqlite:///"
_LIMITS = Limits()


class SettingsError(Exception):
    """The settings cannot be used; the message says which and why, without their values."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """Where the service listens, and with how many processes."""

    address: Annotated[str, Field(pattern=r"^\S+:[0-9]{1,5}$")] = "127.0.0.1:7443"
    """Host and port, or [IPv6]:port, for callers with a client certificate."""
    people_address: Annotated[str | None, Field(pattern=r"^\S+:[0-9]{1,5}$")] = None
    """Host and port for people, who have a bearer token instead of a client certificate. Default: none."""
    workers: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that answer callers, 1 to 64. Default: one for each CPU."""
    queue: Annotated[int, Field(ge=0, le=512)] = 64
    """Content-key calls of one process that may wait for their turn, 0 to 512; one more is refused at once."""
    connections: Annotated[int, Field(ge=16, le=65536)] = 4096
    """Connections of one process at each of its addresses, 16 to 65536; one more is closed at once."""
    idle_connection: Annotated[timedelta, Field(ge=timedelta(seconds=1), le=timedelta(days=1))] = timedelta(minutes=15)
    """How long a connection is kept over which there is no call, 1 second to a day; streams are calls."""


class TlsSettings(_Section):
    """PEM files of mutual TLS."""

    certificate: Path
    """The server's certificate; the authorities between it and the root may follow it."""
    key: Path
    """The private key of the certificate."""
    client_ca: Path
    """Client certificates must be issued by one of these."""


class PolicySettings(_Section):
    """Who may do what."""

    file: Path
    """The grants; server/grpc_api/policy.py tells its form."""


class IssuerSettings(_Section):
    """An issuer of OpenID Connect, whose bearer tokens prove who somebody is."""

    issuer: Annotated[str, Field(max_length=512)]
    """What it calls itself: `iss` of its tokens, to the last character."""
    audience: Annotated[str, Field(min_length=1, max_length=512)]
    """What it calls Keystead: `aud` of its tokens is this, or has it."""
    algorithms: Annotated[tuple[str, ...], Field(min_length=1)] = ("RS256",)
    """What its tokens may be signed with."""
    jwks_file: Path | None = None
    """Its keys, as a file (JWKS). Set this or `jwks_url`."""
    jwks_url: str | None = None
    """Its keys, as a URL: https, or http on this machine."""
    jwks_ca: Path | None = None
    """PEM file of the authorities that may vouch for the URL's host. Default: those that the machine trusts."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        demand_safe_url(self.issuer)
        if not set(self.algorithms) <= set(ALGORITHMS):
            raise ValueError(f"algorithms must be of {', '.join(ALGORITHMS)}")
        if (self.jwks_file is None) == (self.jwks_url is None):
            raise ValueError("set jwks_file or jwks_url, and not both")
        if self.jwks_url is not None:
            demand_safe_url(self.jwks_url)
        return self


class PeopleSettings(_Section):
    """Who vouches for people."""

    issuers: tuple[IssuerSettings, ...] = ()
    """Issuers of OpenID Connect."""
    clock_skew: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(minutes=2))] = timedelta(seconds=30)
    """How far an issuer's clock may differ from ours, at most 2 minutes."""
    keys_refresh: Annotated[timedelta, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(minutes=5)
    """From one reading of the keys at a URL to the next, 1 second to 1 hour."""
    keys_lifetime: Annotated[timedelta, Field(le=timedelta(days=1))] = timedelta(hours=1)
    """How long an issuer's keys are used after they could be read last, at most a day."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({it.issuer for it in self.issuers}) < len(self.issuers):
            raise ValueError("an issuer is named twice")
        if self.keys_lifetime < self.keys_refresh:
            raise ValueError("keys_lifetime must not be shorter than keys_refresh")
        return self


class DatabaseSettings(_Section):
    """Where rows are kept."""

    url: SecretStr
    """sqlite:///FILE or postgresql://USER@HOST/DATABASE; secret, since it may hold a password."""


class HsmSettings(_Section):
    """Which token, and how to reach it."""

    module: Path
    """The vendor's PKCS#11 library."""
    token_label: str | None = None
    """The token's label. Name the token by this or by its serial number."""
    token_serial: str | None = None
    """The token's serial number: it tells two tokens of one label apart."""
    pin_file: Path
    """A file with the user's PIN and nothing else, of mode 0600 or 0400."""
    profile: str = "standard"
    """How this kind of token wants to be asked: standard, softhsm or value-len."""
    trust_mode: Literal["flags", "trusted"] = "flags"
    """What keeps a KEK from being wrapped under anybody's key: the attributes alone, or the security officer's mark."""
    sessions: Annotated[int, Field(ge=2, le=1024)] = 8
    """Sessions that each process opens, 2 to 1024: how many calls may be in the token at a time. Content-key calls
    leave one of them to others."""
    cached_keks: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """KEKs that stay loaded in the token for each session, 1 to 100000."""
    cached_kek_lifetime: PositiveTime = timedelta(minutes=10)
    """How long a KEK stays loaded before it is loaded anew."""
    init_args: str | None = None
    """What the library is given when it is initialised, for those that want such a string (NSS)."""
    softhsm2_conf: Path | None = None
    """SoftHSM's own configuration file; given to the library in SOFTHSM2_CONF."""
    hang_warning: PositiveTime = timedelta(seconds=30)
    """When a call into the library has lasted so long, the process asks nothing else of the token."""
    hang_limit: PositiveTime = timedelta(minutes=2)
    """When a call into the library has lasted so long, the process ends and is replaced."""

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if (self.token_label is None) == (self.token_serial is None):
            raise ValueError("name the token by token_label or by token_serial, and not by both")
        return self

    @model_validator(mode="after")
    def _warning_first(self) -> Self:
        if self.hang_warning >= self.hang_limit:
            raise ValueError("hang_warning must be shorter than hang_limit")
        return self


class LifeSettings(_Section):
    """How long things last."""

    wrapping_key_lifetime: PositiveTime = _LIMITS.wrapping_key_lifetime
    """How long a wrapping key is good for an upload."""
    retired_lifetime: PositiveTime = _LIMITS.retired_lifetime
    """How long a RETIRED main key stays in the token."""
    deleted_lifetime: PositiveTime = _LIMITS.deleted_lifetime
    """How long a deletion can be undone; then the key's object in the token is destroyed."""
    kek_encryptions: Annotated[int, Field(ge=ITEMS_LIMIT, le=ENCRYPTIONS_LIMIT)] = _LIMITS.kek_encryptions
    """Encryptions after which a KEK gets a new version, 1000 to 2^32."""
    revocation_bound: Annotated[timedelta, Field(ge=timedelta(seconds=2), le=timedelta(minutes=10))] = (
        _LIMITS.revocation_bound
    )
    """The time from a revocation after which nothing of its organisation succeeds; the same on every machine."""
    intent_age: PositiveTime = _LIMITS.intent_age
    """From this age on, an object that was about to be made is held to be left behind by a crash."""
    wrapping_key_algorithm: Algorithm = _LIMITS.default_algorithm
    """What wrapping keys are made for if the request leaves it open."""


class AuditSettings(_Section):
    """How strict the audit log is."""

    serve_unrecorded: bool = _LIMITS.serves_unrecorded
    """Whether content keys are handed out though their use cannot be recorded."""
    checkpoint_interval: PositiveTime = _LIMITS.checkpoint_interval
    """From one signed checkpoint of a log that grows to the next."""


class MetricsSettings(_Section):
    """Where Prometheus fetches metrics."""

    address: str | None = None
    """Host and port of the steward's metrics, without TLS: keep it on loopback. Default: not served."""


class TracingSettings(_Section):
    """Where traces go."""

    endpoint: str | None = None
    """Where a collector of OpenTelemetry takes OTLP over gRPC, as http://HOST:PORT or https://. Default: no traces."""


class Settings(BaseSettings):
    """All settings, checked."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="KEYSTEAD_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    server: ServerSettings = ServerSettings()
    tls: TlsSettings
    policy: PolicySettings
    people: PeopleSettings = PeopleSettings()
    database: DatabaseSettings
    hsm: HsmSettings
    life: LifeSettings = LifeSettings()
    audit: AuditSettings = AuditSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _people_have_issuers(self) -> Self:
        if self.server.people_address is not None and not self.people.issuers:
            raise ValueError("server.people_address is set, and people.issuers is empty: nobody could come in")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment go before the file."""
        return env_settings, init_settings

    def limits(self) -> Limits:
        """Return what of this the use cases need."""
        return Limits(
            wrapping_key_lifetime=self.life.wrapping_key_lifetime,
            retired_lifetime=self.life.retired_lifetime,
            deleted_lifetime=self.life.deleted_lifetime,
            kek_encryptions=self.life.kek_encryptions,
            revocation_bound=self.life.revocation_bound,
            authority_lease=self.life.revocation_bound / 2,
            # As long as content keys may go on without the database, their records may wait for it.
            unwritten_records=max(_LIMITS.unwritten_records, self.life.revocation_bound / 2),
            serves_unrecorded=self.audit.serve_unrecorded,
            checkpoint_interval=self.audit.checkpoint_interval,
            intent_age=self.life.intent_age,
            default_algorithm=self.life.wrapping_key_algorithm,
        )


def load_settings(path: Path) -> Settings:
    """Return the settings in a file.

    Raises:
        SettingsError: the file cannot be read, is no TOML, or says what cannot be.
    """
    try:
        values = tomllib.loads(path.read_text())
        settings = Settings(**values)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Give a settings file with --config.") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"{path}: {faults}") from None  # The original carries the values.
    except (ValueError, RecursionError) as error:  # It is no TOML, or a variable no JSON.
        raise SettingsError(f"{path}: {error}") from error
    return _anchored(settings, path.resolve().parent)


def _anchored(settings: Settings, folder: Path) -> Settings:
    url = settings.database.url.get_secret_value()
    if url.startswith(_SQLITE):
        url = _SQLITE + str(folder / url.removeprefix(_SQLITE))
    database = settings.database.model_copy(update={"url": SecretStr(url)})
    sections = {name: _anchored_paths(getattr(settings, name), folder) for name in ("tls", "policy", "hsm")}
    issuers = tuple(_anchored_paths(issuer, folder) for issuer in settings.people.issuers)
    sections["people"] = settings.people.model_copy(update={"issuers": issuers})
    return settings.model_copy(update={**sections, "database": database})


def _anchored_paths(section: BaseModel, folder: Path) -> BaseModel:
    paths = {name: folder / value for name, value in section if isinstance(value, Path)}
    return section.model_copy(update=paths)
