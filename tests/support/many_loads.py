"""Many loads of KEKs into a token, in which few stay loaded: what they leave behind in memory and in the token."""

import ctypes
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hsm_adapter import HsmToken, KekCacheLimits, KekToUse
from hsm_adapter.constants import Attribute
from hsm_adapter.structures import Template
from tests.support.footprint import Footprint
from tests.support.token import make_token

KEKS = 500
CACHED = 50
"""KEKs that stay loaded, so that taking all in turn loads each one anew."""
SETTLED = 35_000
"""Loads after which SoftHSM takes no more memory: it keeps the 32,768 objects that were destroyed last."""


@dataclass(frozen=True)
class Look:
    """What there was after so many loads.

    Attributes:
        loads: how many there were.
        resident: memory of this process, in bytes.
        loaded: KEKs that are loaded, by the adapter's own count.
        objects: session objects, by the token's word.
    """

    loads: int
    resident: int
    loaded: int
    objects: int


def looks_at_many_loads(folder: Path, stops: Sequence[int]) -> list[Look]:
    """Load KEKs in turn into a new token, and look after each of these numbers of loads."""
    settings = replace(make_token(folder), sessions=1, keks=KekCacheLimits(keks=CACHED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        with HsmToken.open(settings) as token:
            keks = _made(token)
            return [_look(token, keks, stop) for stop in stops]


def _made(token: HsmToken) -> list[KekToUse]:
    main_key = secrets.token_bytes(16)
    token.generate_main_key(main_key)
    contexts = [b"kek %d" % number for number in range(KEKS)]
    return [KekToUse("acme", it, 1, main_key, token.create_kek(main_key, it)) for it in contexts]


def _look(token: HsmToken, keks: Sequence[KekToUse], stop: int) -> Look:
    while token.kek_statistics.loads < stop:
        token.with_keks(lambda in_use: [in_use.encrypt(kek, b"", b"") for kek in keks])
    ctypes.CDLL(None).malloc_trim(0)
    return Look(
        loads=token.kek_statistics.loads,
        resident=Footprint.of(os.getpid()).resident,
        loaded=token.kek_statistics.loaded,
        objects=_session_objects(token),
    )


def _session_objects(token: HsmToken) -> int:
    wanted = Template({Attribute.TOKEN: False})
    with token._pool.lease() as session:
        return len(token._cryptoki.find_objects(session.handle, wanted, 2 * KEKS))
