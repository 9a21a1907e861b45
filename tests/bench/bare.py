"""The measures of content keys: python-pkcs11 and nothing around it, in one thread and one session."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pkcs11
from pkcs11 import ObjectClass, SecretKey

from hsm_adapter import Role
from hsm_adapter.mechanisms import IV_SIZE
from tests.bench.contest import Ready, Stopwatch, Turn
from tests.bench.plain import ENCRYPTS, USE, mapper, unwrapped


@dataclass(frozen=True)
class Sealed:
    """A content key as a KEK encrypted it, and that KEK's wrapped form."""

    kek: bytes
    sealed: bytes
    associated_data: bytes


@dataclass(frozen=True)
class Bare:
    """Content keys of one token's main key.

    Attributes:
        token: the token's folder.
        main_key: id of the main key, 16 bytes.
        sealed: the content keys.
        loads_each: unwrap the KEK for each content key, and destroy it; otherwise the first one's serves for all.
        times: how often all of them are decrypted in one turn.
    """

    token: Path
    main_key: bytes
    sealed: Sequence[Sealed]
    loads_each: bool
    times: int = 1


@contextmanager
def bare(work: Bare) -> Iterator[Ready]:
    os.environ["SOFTHSM2_CONF"] = str(work.token / "softhsm2.conf")
    token = pkcs11.lib(str(work.token / "libsofthsm2.so")).get_token(token_label="keystead")
    pin = (work.token / "pin").read_text().strip()
    with token.open(rw=True, user_pin=pin, attribute_mapper=mapper()) as session:
        main = session.get_key(object_class=ObjectClass.SECRET_KEY, label=Role.MAIN_KEY.value, id=work.main_key)
        loaded = None if work.loads_each else unwrapped(main, work.sealed[0].kek, ENCRYPTS, USE)

        def turn() -> Turn:
            watch = Stopwatch()
            for _ in range(work.times):
                for it in work.sealed:
                    kek = loaded or unwrapped(main, it.kek, ENCRYPTS, USE)
                    _decrypt(kek, it)
                    if loaded is None:
                        kek.destroy()
            return watch.stop()

        yield turn, None


def _decrypt(kek: SecretKey, it: Sealed) -> bytes:
    parameter = pkcs11.GCMParams(it.sealed[:IV_SIZE], aad=it.associated_data, tag_bits=128)
    plaintext: bytes = kek.decrypt(it.sealed[IV_SIZE:], mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameter)
    return plaintext
