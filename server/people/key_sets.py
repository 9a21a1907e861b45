"""A key set (JWKS) as an issuer publishes it: which of its keys may verify.

What cannot be used is left out, so that an issuer may publish keys of kinds that came after us. Source: RFC 7517.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64decode

from server.people.reading import ReadingError
from server.people.strict_json import parse_object

KEYS_LIMIT = 100
"""Keys of one set."""
KEY_ID_LIMIT = 256
"""Characters of a `kid`."""
RSA_BITS = range(2048, 8193)
_PARTS = ("kty", "n", "e", "crv", "x", "y")
_CURVES = frozenset({"P-256", "P-384", "P-521"})


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key of an issuer.

    Attributes:
        key: verifies.
        algorithm: the only one that it is for; None if the issuer leaves it open.
    """

    key: RSAKey | ECKey
    algorithm: str | None


def keys_in(document: bytes) -> Mapping[str, IssuerKey]:
    """Return the keys of a set that may verify, by their ids.

    An id that two of them have names neither.

    Raises:
        ReadingError: it is no key set, or has no such key.
    """
    try:
        entries = parse_object(document).get("keys")
    except ValueError as error:
        raise ReadingError("what was read is no JSON object, or could be read in two ways") from error
    if not isinstance(entries, list) or len(entries) > KEYS_LIMIT:
        raise ReadingError(f"what was read is no key set of at most {KEYS_LIMIT} keys")
    found: dict[str, list[IssuerKey]] = {}
    for entry in entries:
        key_id = entry.get("kid") if isinstance(entry, dict) else None
        if isinstance(key_id, str) and 0 < len(key_id) <= KEY_ID_LIMIT and (key := _usable(entry)):
            found.setdefault(key_id, []).append(key)
    keys = {key_id: same[0] for key_id, same in found.items() if len(same) == 1}
    if not keys:
        raise ReadingError("what was read is a key set without a key that may verify")
    return keys


def _usable(entry: Mapping[str, object]) -> IssuerKey | None:
    algorithm, uses = entry.get("alg"), entry.get("key_ops", ["verify"])
    if not (algorithm is None or isinstance(algorithm, str)) or "d" in entry:
        return None  # A private key that everybody can read is nobody's.
    if entry.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        return None
    key = _key(entry)
    return IssuerKey(key, algorithm) if key else None


def _key(entry: Mapping[str, object]) -> RSAKey | ECKey | None:
    """Return the public key, if it is of a kind and size that we take."""
    parts: dict[str, str | list[str]] = {name: value for name in _PARTS if isinstance(value := entry.get(name), str)}
    key: RSAKey | ECKey
    try:
        if parts.get("kty") == "RSA" and _bits(str(parts["n"])) in RSA_BITS:
            key = RSAKey.import_key(parts)
        elif parts.get("kty") == "EC" and parts["crv"] in _CURVES:
            key = ECKey.import_key(parts)
        else:
            return None
        _ = key.public_key  # Only now is it made, and a point that is not on its curve found.
    except (JoseError, ValueError, KeyError):
        return None
    return key


def _bits(modulus: str) -> int:
    return int.from_bytes(urlsafe_b64decode(modulus.encode())).bit_length()
