"""The attributes of every role: each boolean stated, since tokens' defaults differ.

They are made against a stolen PIN or a taken-over service: a key can do the one thing that its role needs. What holds
them is PKCS#11's own: a wrapping key's UNWRAP_TEMPLATE pins what may come out of it. SoftHSM wants the caller to repeat
what is pinned, and MODIFIABLE last.

In the trust mode `trusted`, KEKs can be wrapped by marked keys alone (WRAP_WITH_TRUSTED), and main keys pin that too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType

from hsm_adapter.constants import Attribute as A  # noqa: N817 - the tables below are read as tables
from hsm_adapter.constants import KeyType, Mechanism, ObjectClass
from hsm_adapter.mechanisms import AES_KEY_SIZE
from hsm_adapter.profiles import Profile
from hsm_adapter.structures import Flags, Template, Value

Attributes = Mapping[A, Value]

RSA_PUBLIC_EXPONENT = 65537
_EXPONENT = RSA_PUBLIC_EXPONENT.to_bytes(3, "big")
AUDIT_MODULUS_BITS = 3072
P256_OID = bytes.fromhex("06082a8648ce3d030107")
"""The curve P-256 as CKA_EC_PARAMS names it: the DER of its object identifier, 1.2.840.10045.3.1.7."""


class Role(Enum):
    """The roles of objects that stay in the token; the value is their label."""

    WRAPPING_KEY = "keystead wrapping-key"
    MAIN_KEY = "keystead main-key"
    AUDIT_KEY = "keystead audit-key"

    @property
    def object_class(self) -> ObjectClass:
        """The class of the object that is kept."""
        return ObjectClass.SECRET_KEY if self is Role.MAIN_KEY else ObjectClass.PRIVATE_KEY


class TrustMode(Enum):
    """What keeps a KEK that can be wrapped from being wrapped under anybody's key."""

    FLAGS = "flags"
    """Nothing: who has the PIN can do it."""
    TRUSTED = "trusted"
    """Keys alone wrap it that the token's security officer has marked."""


class SignatureAlgorithm(Enum):
    """How an audit key signs."""

    ECDSA_P256_SHA256 = "ECDSA_P256_SHA256"
    RSA_PSS_3072_SHA256 = "RSA_PSS_3072_SHA256"

    @property
    def mechanism(self) -> Mechanism:
        """The one mechanism that such a key may be used with."""
        return Mechanism.ECDSA if self is SignatureAlgorithm.ECDSA_P256_SHA256 else Mechanism.RSA_PKCS_PSS

    @property
    def key_pair(self) -> tuple[Mechanism, "Attributes"]:
        """What makes such a pair, and what its public half says of its kind."""
        if self is SignatureAlgorithm.ECDSA_P256_SHA256:
            return Mechanism.EC_KEY_PAIR_GEN, {A.KEY_TYPE: KeyType.EC, A.EC_PARAMS: P256_OID}
        rsa: Attributes = {A.KEY_TYPE: KeyType.RSA, A.MODULUS_BITS: AUDIT_MODULUS_BITS, A.PUBLIC_EXPONENT: _EXPONENT}
        return Mechanism.RSA_PKCS_KEY_PAIR_GEN, rsa


_NO_USAGE: Attributes = MappingProxyType(
    {
        A.ENCRYPT: False,
        A.DECRYPT: False,
        A.WRAP: False,
        A.UNWRAP: False,
        A.SIGN: False,
        A.VERIFY: False,
        A.DERIVE: False,
    }
)
_HELD: Attributes = MappingProxyType({A.PRIVATE: True, A.SENSITIVE: True})
_FIXED: Attributes = MappingProxyType({A.COPYABLE: False, A.MODIFIABLE: False})
AES: Attributes = MappingProxyType({A.CLASS: ObjectClass.SECRET_KEY, A.KEY_TYPE: KeyType.AES})

_KEK_SHARED: Attributes = MappingProxyType(
    {
        A.KEY_TYPE: KeyType.AES,
        A.TOKEN: False,
        **_HELD,
        A.WRAP: False,
        A.UNWRAP: False,
        A.SIGN: False,
        A.VERIFY: False,
        A.DERIVE: False,
        **_FIXED,
    }
)
_WITH_TRUSTED: Attributes = MappingProxyType({A.WRAP_WITH_TRUSTED: True})


def _for_trust(trust: TrustMode) -> Attributes:
    return _WITH_TRUSTED if trust is TrustMode.TRUSTED else {}


def kek_shared(trust: TrustMode) -> Attributes:
    """Return what every role of a KEK has in common, pinned by the main key."""
    return {**_KEK_SHARED, **_for_trust(trust)}


_MAIN_KEY_RIGHTS: Attributes = MappingProxyType(
    {
        **_HELD,
        A.EXTRACTABLE: False,
        **_NO_USAGE,
        A.WRAP: True,
        A.UNWRAP: True,
        A.ALLOWED_MECHANISMS: (Mechanism.AES_KEY_WRAP,),
    }
)
"""What every main key has, pinned by the wrapping key."""


def _named(role: Role, object_id: bytes) -> Attributes:
    return {A.ID: object_id, A.LABEL: role.value.encode()}


def identity(role: Role, object_id: bytes) -> Template:
    """Return what an object of this role is found by."""
    return Template({A.CLASS: role.object_class, **_named(role, object_id)})


def wrapping_public(modulus_bits: int) -> Template:
    """Return the public half of a wrapping key: read once and destroyed, it can do nothing."""
    return Template(
        {
            A.CLASS: ObjectClass.PUBLIC_KEY,
            A.KEY_TYPE: KeyType.RSA,
            A.TOKEN: False,
            A.PRIVATE: False,
            A.ENCRYPT: False,
            A.VERIFY: False,
            A.WRAP: False,
            A.MODULUS_BITS: modulus_bits,
            A.PUBLIC_EXPONENT: _EXPONENT,
        }
    )


def wrapping_private(object_id: bytes, *, token: bool = True) -> Template:
    """Return the private half of a wrapping key: it unwraps main keys with OAEP, and does nothing else."""
    return Template(
        {
            A.CLASS: ObjectClass.PRIVATE_KEY,
            A.KEY_TYPE: KeyType.RSA,
            A.TOKEN: token,
            **_named(Role.WRAPPING_KEY, object_id),
            **_HELD,
            A.EXTRACTABLE: False,
            A.UNWRAP: True,
            A.DECRYPT: False,
            A.SIGN: False,
            A.SIGN_RECOVER: False,
            A.DERIVE: False,
            A.ALLOWED_MECHANISMS: (Mechanism.RSA_PKCS_OAEP,),
            A.UNWRAP_TEMPLATE: {A.KEY_TYPE: KeyType.AES, **_MAIN_KEY_RIGHTS, **_FIXED},
            **_FIXED,
        }
    )


def audit_public(algorithm: SignatureAlgorithm) -> Template:
    """Return the public half of an audit key: read once and destroyed, it can do nothing."""
    _, kind = algorithm.key_pair
    no_usage: Attributes = {A.ENCRYPT: False, A.VERIFY: False, A.WRAP: False}
    return Template({A.CLASS: ObjectClass.PUBLIC_KEY, **kind, A.TOKEN: False, A.PRIVATE: False, **no_usage})


def audit_private(object_id: bytes, algorithm: SignatureAlgorithm, *, token: bool = True) -> Template:
    """Return the private half of an audit key: it signs by its one algorithm, and does nothing else."""
    _, kind = algorithm.key_pair
    return Template(
        {
            A.CLASS: ObjectClass.PRIVATE_KEY,
            A.KEY_TYPE: kind[A.KEY_TYPE],
            A.TOKEN: token,
            **_named(Role.AUDIT_KEY, object_id),
            **_HELD,
            A.EXTRACTABLE: False,
            A.SIGN: True,
            A.SIGN_RECOVER: False,
            A.DECRYPT: False,
            A.UNWRAP: False,
            A.DERIVE: False,
            A.ALLOWED_MECHANISMS: (algorithm.mechanism,),
            **_FIXED,
        }
    )


def _main_key(object_id: bytes, trust: TrustMode, *, token: bool) -> Attributes:
    return {
        **AES,
        A.TOKEN: token,
        **_named(Role.MAIN_KEY, object_id),
        **_MAIN_KEY_RIGHTS,
        A.UNWRAP_TEMPLATE: kek_shared(trust),
    }


def generated_main_key(object_id: bytes, trust: TrustMode = TrustMode.FLAGS, *, token: bool = True) -> Template:
    """Return a main key that the token makes."""
    return Template({**_main_key(object_id, trust, token=token), A.VALUE_LEN: AES_KEY_SIZE, **_FIXED})


def unwrapped_main_key(
    object_id: bytes, profile: Profile, trust: TrustMode = TrustMode.FLAGS, *, token: bool = True
) -> Template:
    """Return a main key that the customer made."""
    return Template({**_main_key(object_id, trust, token=token), **_length(profile), **_FIXED})


@cache
def kek_birth(trust: TrustMode = TrustMode.FLAGS) -> Template:
    """Return a KEK that is to be wrapped and forgotten: it can be taken out, wrapped, and used for nothing."""
    return Template(
        {
            **AES,
            A.VALUE_LEN: AES_KEY_SIZE,
            A.TOKEN: False,
            **_HELD,
            A.EXTRACTABLE: True,
            **_for_trust(trust),
            **_NO_USAGE,
            **_FIXED,
        }
    )


@cache
def kek_use(profile: Profile, trust: TrustMode = TrustMode.FLAGS) -> Template:
    """Return a KEK that encrypts content keys: it does not leave the token."""
    return Template(
        {
            **AES,
            A.TOKEN: False,
            **_HELD,
            A.EXTRACTABLE: False,
            **_for_trust(trust),
            **_NO_USAGE,
            A.ENCRYPT: True,
            A.DECRYPT: True,
            A.ALLOWED_MECHANISMS: (Mechanism.AES_GCM,),
            **_length(profile),
            **_FIXED,
        }
    )


@cache
def kek_rewrap(profile: Profile, trust: TrustMode = TrustMode.FLAGS) -> Template:
    """Return a KEK on its way from one main key to another."""
    moving: Attributes = {A.EXTRACTABLE: True, **_for_trust(trust), **_NO_USAGE}
    return Template({**AES, A.TOKEN: False, **_HELD, **moving, **_length(profile), **_FIXED})


@cache
def public_constant() -> Template:
    """Return 32 zero bytes as a key object, of which fingerprints are made. It is no secret and can do nothing."""
    return Template(
        {**AES, A.TOKEN: False, **_HELD, A.EXTRACTABLE: True, **_NO_USAGE, A.VALUE: bytes(AES_KEY_SIZE), **_FIXED}
    )


def _length(profile: Profile) -> Attributes:
    return {A.VALUE_LEN: AES_KEY_SIZE} if profile.states_value_len else {}


# What is read back after an object was made. An unwrapped key was outside: of it, LOCAL and its kin are honestly false.

_SHARED_FLAGS: Mapping[A, bool] = MappingProxyType(
    {A.PRIVATE: True, A.SENSITIVE: True, A.DERIVE: False, A.SIGN: False, A.COPYABLE: False, A.MODIFIABLE: False}
)

WRAPPING_KEY_FLAGS = Flags(
    {
        **_SHARED_FLAGS,
        A.TOKEN: True,
        A.EXTRACTABLE: False,
        A.UNWRAP: True,
        A.DECRYPT: False,
        A.SIGN_RECOVER: False,
        A.LOCAL: True,
        A.ALWAYS_SENSITIVE: True,
        A.NEVER_EXTRACTABLE: True,
    }
)
AUDIT_KEY_FLAGS = Flags(
    {
        **_SHARED_FLAGS,
        A.TOKEN: True,
        A.EXTRACTABLE: False,
        A.SIGN: True,
        A.SIGN_RECOVER: False,
        A.DECRYPT: False,
        A.UNWRAP: False,
        A.LOCAL: True,
        A.ALWAYS_SENSITIVE: True,
        A.NEVER_EXTRACTABLE: True,
    }
)
_SECRET_FLAGS: Mapping[A, bool] = MappingProxyType({**_SHARED_FLAGS, A.VERIFY: False})
MAIN_KEY_FLAGS = Flags(
    {
        **_SECRET_FLAGS,
        A.TOKEN: True,
        A.EXTRACTABLE: False,
        A.ENCRYPT: False,
        A.DECRYPT: False,
        A.WRAP: True,
        A.UNWRAP: True,
    }
)
MAIN_KEY_ORIGIN = Flags({A.LOCAL: False, A.ALWAYS_SENSITIVE: False, A.NEVER_EXTRACTABLE: False})
"""What is told of an uploaded main key besides. It was outside, so that these are honestly false."""
MAIN_KEY_MARK = Flags({A.TRUSTED: True})
"""What the token's security officer sets, in the trust mode `trusted`."""
TOLD_OF_MAIN_KEYS: Mapping[TrustMode, tuple[Flags, ...]] = MappingProxyType(
    {
        TrustMode.FLAGS: (MAIN_KEY_FLAGS, MAIN_KEY_ORIGIN),
        TrustMode.TRUSTED: (MAIN_KEY_FLAGS, MAIN_KEY_ORIGIN, MAIN_KEY_MARK),
    }
)
KEK_USE_FLAGS = Flags(
    {
        **_SECRET_FLAGS,
        A.TOKEN: False,
        A.EXTRACTABLE: False,
        A.ENCRYPT: True,
        A.DECRYPT: True,
        A.WRAP: False,
        A.UNWRAP: False,
    }
)
KEK_TRANSIT_FLAGS = Flags(
    {
        **_SECRET_FLAGS,
        A.TOKEN: False,
        A.EXTRACTABLE: True,
        A.ENCRYPT: False,
        A.DECRYPT: False,
        A.WRAP: False,
        A.UNWRAP: False,
    }
)


@dataclass(frozen=True, slots=True)
class KekRoles:
    """How KEKs are made, and what is read back of them."""

    birth: Template
    use: Template
    rewrap: Template
    use_flags: Flags
    transit_flags: Flags


def kek_roles(profile: Profile, trust: TrustMode) -> KekRoles:
    """Return the roles of KEKs in a trust mode."""
    marked = {A.WRAP_WITH_TRUSTED: True} if trust is TrustMode.TRUSTED else {}
    return KekRoles(
        birth=kek_birth(trust),
        use=kek_use(profile, trust),
        rewrap=kek_rewrap(profile, trust),
        use_flags=KEK_USE_FLAGS.but(marked) if marked else KEK_USE_FLAGS,
        transit_flags=KEK_TRANSIT_FLAGS.but(marked) if marked else KEK_TRANSIT_FLAGS,
    )
