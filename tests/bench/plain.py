"""The measure: re-wrapping with python-pkcs11 and nothing around it, in one thread, step by step what the product does.

For each KEK: unwrap it under the old main key, wrap it under the new one, destroy it; then unwrap the new form in the
role *use*, check the tag of its binding, destroy it. The templates say what hsm_adapter/templates.py says. There is no
database, no read-back of attributes, and no recovery.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass, SecretKey
from pkcs11.attributes import AttributeMapper

from hsm_adapter import Role
from hsm_adapter.mechanisms import IV_SIZE
from tests.bench.contest import Ready, Stopwatch, Turn

AES_KEY_WRAP = pkcs11.Mechanism.AES_KEY_WRAP
AES_GCM = pkcs11.Mechanism.AES_GCM
ALLOWED_MECHANISMS = Attribute(0x40000600)

_HELD = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True}
_FIXED = {Attribute.COPYABLE: False, Attribute.MODIFIABLE: False}
REWRAP = {**_HELD, Attribute.EXTRACTABLE: True, **_FIXED}
USE = {**_HELD, Attribute.EXTRACTABLE: False, ALLOWED_MECHANISMS: (AES_GCM,), **_FIXED}
NO_USAGE = MechanismFlag(0)
ENCRYPTS = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT


@dataclass(frozen=True)
class Sample:
    """One KEK, and what must come out."""

    wrapped: bytes
    binding: bytes
    context: bytes
    rewrapped: bytes


@dataclass(frozen=True)
class Work:
    """KEKs under one main key of a token, to be re-wrapped under another."""

    token: Path
    old: bytes
    new: bytes
    samples: Sequence[Sample]


@contextmanager
def plain(work: Work) -> Iterator[Ready]:
    os.environ["SOFTHSM2_CONF"] = str(work.token / "softhsm2.conf")
    token = pkcs11.lib(str(work.token / "libsofthsm2.so")).get_token(token_label="keystead")
    pin = (work.token / "pin").read_text().strip()
    with token.open(rw=True, user_pin=pin, attribute_mapper=mapper()) as session:
        old, new = (
            session.get_key(object_class=ObjectClass.SECRET_KEY, label=Role.MAIN_KEY.value, id=key)
            for key in (work.old, work.new)
        )

        def turn() -> Turn:
            watch = Stopwatch()
            rewrapped = [rewrap(old, new, sample) for sample in work.samples]
            taken = watch.stop()
            assert rewrapped == [sample.rewrapped for sample in work.samples]
            return taken

        yield turn, None


def mapper() -> AttributeMapper:
    mapper = AttributeMapper()
    # An attribute that the library has no handler for would crash the process.
    mapper.register_handler(
        ALLOWED_MECHANISMS,
        lambda mechanisms: struct.pack(f"{len(mechanisms)}L", *mechanisms),
        lambda packed: struct.unpack(f"{len(packed) // struct.calcsize('L')}L", packed),
    )
    return mapper


def rewrap(old: SecretKey, new: SecretKey, kek: Sample) -> bytes:
    moved = unwrapped(old, kek.wrapped, NO_USAGE, REWRAP)
    wrapped = new.wrap_key(moved, mechanism=AES_KEY_WRAP)
    moved.destroy()
    used = unwrapped(new, wrapped, ENCRYPTS, USE)
    parameter = pkcs11.GCMParams(kek.binding[:IV_SIZE], aad=kek.context, tag_bits=128)
    used.decrypt(kek.binding[IV_SIZE:], mechanism=AES_GCM, mechanism_param=parameter)
    used.destroy()
    return wrapped


def unwrapped(main_key: SecretKey, wrapped: bytes, usage: MechanismFlag, template: dict[Attribute, object]):
    return main_key.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.AES,
        wrapped,
        mechanism=AES_KEY_WRAP,
        capabilities=usage,
        template=template,
    )
