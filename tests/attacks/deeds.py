"""What a thief does with a key of the token; each deed raises CryptokiError if the token does not let him."""

from collections.abc import Callable
from ctypes import c_ubyte

from hsm_adapter.constants import Attribute, Mechanism
from hsm_adapter.mechanisms import AES_KW, OAEP_SHA256, aes_gcm
from hsm_adapter.structures import MechanismCall, Template
from hsm_adapter.templates import kek_birth
from tests.attacks.conftest import AES, Thief

Deed = Callable[[Thief, int], object]

PRIVATE_EXPONENT = 0x123
IV = (c_ubyte * 16)()
ECB = MechanismCall(Mechanism.AES_ECB)
CBC = MechanismCall(Mechanism.AES_CBC, IV)
AES_KEY_WRAP_PAD = MechanismCall(0x210A)
GCM = aes_gcm(bytes(12), b"")
RSA_PKCS = MechanismCall(Mechanism.RSA_PKCS)

READABLE = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}


# Of any key.


def shows(attribute: int) -> Deed:
    return lambda thief, key: thief.p11.attribute(thief.session, key, attribute)


def is_taken_out_by(mechanism: MechanismCall) -> Deed:
    """Wrap it under a key that he knows."""

    def deed(thief, key):
        return thief.p11.wrap_key(thief.session, mechanism, thief.key_of_his_own({Attribute.WRAP: True}), key, 4096)

    return deed


def is_copied(thief, key):
    return thief.p11.copy_object(thief.session, key, Template({Attribute.TOKEN: False, Attribute.LABEL: b"copy"}))


def becomes(attribute: Attribute, value: bool | bytes) -> Deed:  # noqa: FBT001 - as in a template
    return lambda thief, key: thief.p11.set_attributes(thief.session, key, Template({attribute: value}))


def begins(function: str, mechanism: MechanismCall) -> Deed:
    """Begin an operation: whether a key may be used for it is decided there."""
    return lambda thief, key: thief.p11.call(function, thief.session, mechanism.pointer, key)


# Of a main key. The arithmetic is that of RFC 3394, section 2.2, with the token as its AES.


def wraps_and_decrypts(thief, key):
    """Have it wrap a key, and decrypt that block by block: Clulow's attack."""
    born = thief.p11.generate_key(thief.session, Mechanism.AES_KEY_GEN, kek_birth())
    wrapped = thief.p11.wrap_key(thief.session, AES_KW, key, born)
    a, r = wrapped[:8], [wrapped[at : at + 8] for at in range(8, 40, 8)]
    for t in range(24, 0, -1):
        block = (int.from_bytes(a, "big") ^ t).to_bytes(8, "big") + r[(t - 1) % 4]
        opened = thief.p11.decrypt(thief.session, ECB, key, block)
        a, r[(t - 1) % 4] = opened[:8], opened[8:]
    assert a == b"\xa6" * 8
    return b"".join(r)


def encrypts_and_unwraps(thief, key):
    """Have it encrypt a value that he knows as if it wrapped it, and unwrap that: a key of his choice."""
    value = bytes(range(32))
    a, r = b"\xa6" * 8, [value[at : at + 8] for at in range(0, 32, 8)]
    for t in range(1, 25):
        sealed = thief.p11.encrypt(thief.session, ECB, key, a + r[(t - 1) % 4])
        a, r[(t - 1) % 4] = (int.from_bytes(sealed[:8], "big") ^ t).to_bytes(8, "big"), sealed[8:]
    forged = thief.p11.unwrap_key(thief.session, AES_KW, key, a + b"".join(r), Template({**AES, **READABLE}))
    assert thief.p11.attribute(thief.session, forged, Attribute.VALUE) == value


def wraps_with(mechanism: MechanismCall) -> Deed:
    def deed(thief, key):
        born = thief.p11.generate_key(thief.session, Mechanism.AES_KEY_GEN, kek_birth())
        return thief.p11.wrap_key(thief.session, mechanism, key, born)

    return deed


def unwraps_as(rights: dict[Attribute, bool]) -> Deed:
    """Have it unwrap a key that it wrapped, as one with other rights."""

    def deed(thief, key):
        born = thief.p11.generate_key(thief.session, Mechanism.AES_KEY_GEN, kek_birth())
        wrapped = thief.p11.wrap_key(thief.session, AES_KW, key, born)
        # Beside these rights it has those of a KEK, since a token may want to be told them.
        template = Template({**AES, **KEK, **rights, Attribute.MODIFIABLE: rights.get(Attribute.MODIFIABLE, False)})
        return thief.p11.unwrap_key(thief.session, AES_KW, key, wrapped, template)

    return deed


KEK = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.WRAP: False,
    Attribute.UNWRAP: False,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.DERIVE: False,
    Attribute.COPYABLE: False,
}

ON_ANY = {
    "is copied": is_copied,
    "is renamed": becomes(Attribute.LABEL, b"mine"),
    "becomes extractable": becomes(Attribute.EXTRACTABLE, value=True),
    "becomes a decrypting one": becomes(Attribute.DECRYPT, value=True),
    "becomes an unwrapping one": becomes(Attribute.UNWRAP, value=True),
    "becomes a signing one": becomes(Attribute.SIGN, value=True),
    "becomes a deriving one": becomes(Attribute.DERIVE, value=True),
}
ON_AES = {
    **ON_ANY,
    "shows its value": shows(Attribute.VALUE),
    "is taken out": is_taken_out_by(AES_KW),
    "becomes an encrypting one": becomes(Attribute.ENCRYPT, value=True),
    "becomes a wrapping one": becomes(Attribute.WRAP, value=True),
    "encrypts with ECB": begins("C_EncryptInit", ECB),
    "encrypts with CBC": begins("C_EncryptInit", CBC),
    "decrypts with ECB": begins("C_DecryptInit", ECB),
    "decrypts with CBC": begins("C_DecryptInit", CBC),
    "wraps and decrypts": wraps_and_decrypts,
    "encrypts and unwraps": encrypts_and_unwraps,
    "wraps in another format": wraps_with(AES_KEY_WRAP_PAD),
    "unwraps a key as readable": unwraps_as({Attribute.SENSITIVE: False}),
    "unwraps a key as public": unwraps_as({Attribute.PRIVATE: False}),
    "unwraps a key as a wrapping one": unwraps_as({Attribute.WRAP: True}),
    "unwraps a key as an unwrapping one": unwraps_as({Attribute.UNWRAP: True}),
    "unwraps a key as one that is copied": unwraps_as({Attribute.COPYABLE: True}),
    "unwraps a key as one that changes": unwraps_as({Attribute.MODIFIABLE: True}),
    "unwraps a key as one that stays": unwraps_as({Attribute.TOKEN: True}),
}
ON_MAIN_KEY = {
    **ON_AES,
    "encrypts with GCM": begins("C_EncryptInit", GCM),
    "decrypts with GCM": begins("C_DecryptInit", GCM),
}
ON_RSA = {
    **ON_ANY,
    "shows its value": shows(PRIVATE_EXPONENT),
    "is taken out": is_taken_out_by(AES_KEY_WRAP_PAD),
    "decrypts with OAEP": begins("C_DecryptInit", OAEP_SHA256),
    "decrypts with PKCS#1 v1.5": begins("C_DecryptInit", RSA_PKCS),
}
