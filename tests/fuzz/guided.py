"""The readers of outside input under Atheris, which looks for input that leads where none has led; for scripts/fuzz.

guided.py TARGET [OPTION OF LIBFUZZER]...
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["server", "tomllib", "joserfc"]):
    from cryptography.hazmat.primitives.asymmetric import ec

    from server.cli import audit_file, receipts, signed_files
    from server.domain import ids
    from server.domain.content_keys import WrappedContentKey
    from server.domain.errors import MalformedNameError, WrappedKeyRejectedError
    from server.grpc_api.policy import Policy, PolicyError
    from server.people.key_sets import keys_in
    from server.people.reading import ReadingError
    from server.settings import SettingsError, load_settings

from tests.support.jwts import Signer, key_set

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
FILE = Path(tempfile.mkdtemp()) / "file"
NAMES = (ids.OrganizationName, ids.MainKeyName, ids.KekName, ids.AuditEventName, ids.ApprovalRuleName)

Target = Callable[[bytes], object]


def names(data: bytes) -> None:
    name = data.decode(errors="replace")
    for kind in NAMES:
        with suppress(MalformedNameError):
            assert str(kind.parse(name)) == name


def in_a_file(read: Callable[[Path], object]) -> Target:
    def target(data: bytes) -> object:
        FILE.write_bytes(data)
        return read(FILE)

    return target


TARGETS: dict[str, tuple[Target, tuple[type[Exception], ...], bytes]] = {
    "content-keys": (WrappedContentKey.parse, (WrappedKeyRejectedError,), b"\x01" + bytes(60)),
    "names": (names, (), b"organizations/acme/keks/" + b"0" * 32),
    "key-sets": (keys_in, (ReadingError,), key_set(Signer().jwk(), Signer("ES256").jwk())),
    "policy": (
        in_a_file(Policy),
        (PolicyError,),
        b'[[grants]]\nidentity = "spiffe://a"\nrole = "service"\norganizations = ["acme"]\n',
    ),
    "settings": (in_a_file(load_settings), (SettingsError,), b'[server]\nworkers = 2\n[hsm]\npin_file = "pin"\n'),
    "exports": (
        in_a_file(lambda file: audit_file.verified(file, KEY)),
        (signed_files.NotGenuineError,),
        b'{"organization":"acme","sequence":1}\n{"checkpoint":{"type":"keystead.audit.checkpoint.v1"}}\n',
    ),
    "receipts": (
        lambda data: receipts.verified(data, KEY),
        (signed_files.NotGenuineError,),
        b'{"algorithm":"ECDSA_P256_SHA256","public_key_sha256":"","receipt":{"type":""},"signature":""}\n',
    ),
}
"""What reads, what it may raise, and something to begin with."""


def main() -> None:
    target, promised, seed = TARGETS[sys.argv.pop(1)]
    seeds = FILE.parent / "seeds"
    seeds.mkdir()
    (seeds / "seed").write_bytes(seed)

    def once(data: bytes) -> None:
        with suppress(*promised):
            target(data)

    atheris.Setup([*sys.argv, str(seeds)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
