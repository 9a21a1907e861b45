"""What the service may ask of an HSM, over PKCS#11. Knows nothing of the service."""

from hsm_adapter.errors import (
    HsmAuthenticationError,
    HsmCapacityError,
    HsmError,
    HsmHangsError,
    HsmPolicyError,
    HsmReadOnlyError,
    HsmUnavailableError,
    KekBindingError,
    KekRejectedError,
    ModuleMissingError,
    ObjectMissingError,
    RejectedInputError,
    TokenMissingError,
)
from hsm_adapter.kek_cache import KekCacheLimits, KekStatistics
from hsm_adapter.keks import KeksInUse, KekToUse, WrappedKek
from hsm_adapter.probe import CapabilityReport, Check, probe
from hsm_adapter.profiles import PROFILES
from hsm_adapter.statistics import HsmStatistics
from hsm_adapter.templates import Role, SignatureAlgorithm
from hsm_adapter.token import HsmSettings, HsmToken, MainKeyDescription, MainKeyReport
from hsm_adapter.watchdog import Patience, demand_answering, watched

__all__ = [
    "PROFILES",
    "CapabilityReport",
    "Check",
    "HsmAuthenticationError",
    "HsmCapacityError",
    "HsmError",
    "HsmHangsError",
    "HsmPolicyError",
    "HsmReadOnlyError",
    "HsmSettings",
    "HsmStatistics",
    "HsmToken",
    "HsmUnavailableError",
    "KekBindingError",
    "KekCacheLimits",
    "KekRejectedError",
    "KekStatistics",
    "KekToUse",
    "KeksInUse",
    "MainKeyDescription",
    "MainKeyReport",
    "ModuleMissingError",
    "ObjectMissingError",
    "Patience",
    "RejectedInputError",
    "Role",
    "SignatureAlgorithm",
    "TokenMissingError",
    "WrappedKek",
    "demand_answering",
    "probe",
    "watched",
]
