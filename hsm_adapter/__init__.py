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
    KeyNotTrustedError,
    ModuleMissingError,
    ObjectMissingError,
    RejectedInputError,
    TokenMissingError,
)
from hsm_adapter.kek_cache import KekCacheLimits, KekStatistics
from hsm_adapter.keks import KeksInUse, KekToUse, WrappedKek
from hsm_adapter.officer import ExaminedKey, examine, mark
from hsm_adapter.pin_file import PinFile
from hsm_adapter.probe import CapabilityReport, Check, probe
from hsm_adapter.profiles import PROFILES
from hsm_adapter.reports import MainKeyDescription, MainKeyReport
from hsm_adapter.statistics import HsmStatistics
from hsm_adapter.templates import Role, SignatureAlgorithm, TrustMode
from hsm_adapter.token import HsmSettings, HsmToken
from hsm_adapter.trust import Standing
from hsm_adapter.watchdog import Patience, demand_answering, watched

__all__ = [
    "PROFILES",
    "CapabilityReport",
    "Check",
    "ExaminedKey",
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
    "KeyNotTrustedError",
    "MainKeyDescription",
    "MainKeyReport",
    "ModuleMissingError",
    "ObjectMissingError",
    "Patience",
    "PinFile",
    "RejectedInputError",
    "Role",
    "SignatureAlgorithm",
    "Standing",
    "TokenMissingError",
    "TrustMode",
    "WrappedKek",
    "demand_answering",
    "examine",
    "mark",
    "probe",
    "watched",
]
