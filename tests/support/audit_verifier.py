"""A verifier of audit logs by the standards alone: RFC 9162 for paths, OpenSSL for signatures. It knows no Keystead.

    python audit_verifier.py KEY.pem CHECKPOINT.json SIGNATURE.der
    python audit_verifier.py KEY.pem CHECKPOINT.json SIGNATURE.der EVENT.json INDEX PATH.txt

Files hold what the service answers: the checkpoint's signed bytes, its signature, an event as it is hashed, and the
path of its inclusion proof in hexadecimal, one hash a line. The exit status is 0 if all fits.
"""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path


def signature_fits(key: Path, checkpoint: Path, signature: Path) -> bool:
    kind = subprocess.run(["openssl", "pkey", "-pubin", "-in", key, "-noout", "-text"], check=True, capture_output=True)
    command = ["openssl", "dgst", "-sha256", "-verify", key, "-signature", signature]
    if b"RSA" in kind.stdout or b"Modulus" in kind.stdout:
        command += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    return subprocess.run([*command, checkpoint], check=False, capture_output=True).returncode == 0


def inclusion_root(event: bytes, index: int, size: int, path: list[bytes]) -> bytes | None:
    """RFC 9162, section 2.1.3.2, without the last comparison."""
    if index >= size:
        return None
    fn, sn, r = index, size - 1, sha256(b"\0" + event).digest()
    for p in path:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            r = sha256(b"\1" + p + r).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\1" + r + p).digest()
        fn, sn = fn >> 1, sn >> 1
    return r if sn == 0 else None


def has_grown(old: int, new: int, old_root: bytes, new_root: bytes, path: list[bytes]) -> bool:
    """RFC 9162, section 2.1.4.2."""
    if old == new:
        return not path and old_root == new_root
    if not 0 < old < new or not path:
        return False
    path = [old_root, *path] if old & (old - 1) == 0 else path
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = sha256(b"\1" + c + fr).digest(), sha256(b"\1" + c + sr).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha256(b"\1" + sr + c).digest()
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def main(key: str, checkpoint: str, signature: str, *proof: str) -> str:
    """Return what is wrong; nothing if all fits."""
    if not signature_fits(Path(key), Path(checkpoint), Path(signature)):
        return "the signature is not that of this key over the checkpoint"
    head = json.loads(Path(checkpoint).read_bytes())
    if head["type"] != "keystead.audit.checkpoint.v1":
        return "what was signed is no checkpoint"
    if proof:
        event, index, path = proof
        hashes = [bytes.fromhex(line) for line in Path(path).read_text().split()]
        root = inclusion_root(Path(event).read_bytes(), int(index), head["size"], hashes)
        if root != bytes.fromhex(head["root"]):
            return "the event is not at this place of the log"
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
