"""The token's mechanisms against published vectors: RSA-OAEP, AES-KW and AES-GCM.

Source: the files of the cryptography project's vectors; NIST CAVS for AES-KW and AES-GCM; OAEP derived from RSA Inc.'s.
"""

from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest

from hsm_adapter.constants import Attribute, KeyType, Mechanism, Mgf, ObjectClass, Rv
from hsm_adapter.library import CryptokiError
from hsm_adapter.mechanisms import AES_KW, OAEP_SHA256, aes_gcm
from hsm_adapter.structures import Template, oaep

VECTORS = Path(cryptography_vectors.__file__).parent
OAEP = VECTORS / "asymmetric/RSA/oaep-custom"
HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")

# CKA_PRIVATE_EXPONENT to CKA_COEFFICIENT, in the order of the files.
PRIVATE_PARTS = dict(
    zip(
        ("Exponent", "Prime 1", "Prime 2", "Prime exponent 1", "Prime exponent 2", "Coefficient"),
        range(0x123, 0x129),
        strict=True,
    )
)


def oaep_examples(path: Path) -> Iterator[tuple[dict[str, bytes], bytes, bytes]]:
    """Yield private key, message and encryption; a value may stand on several lines."""
    fields: dict[str, str] = {}
    heading = ""
    for line in [*path.read_text().splitlines(), "# end"]:
        if not line.startswith("#"):
            fields[heading] = fields.get(heading, "") + line.replace(" ", "")
            continue
        if heading == "Encryption":
            values = {name: bytes.fromhex(text.zfill(len(text) + len(text) % 2)) for name, text in fields.items()}
            yield values, values["Message"], values["Encryption"]
        heading = line.strip("# :")
        if heading == "Private key":
            fields = {}
        fields[heading] = ""


def nist_examples(path: Path) -> Iterator[dict[str, str]]:
    """Yield the fields of each example; FAIL is a field without a value."""
    example: dict[str, str] = {}
    for line in [*path.read_text().splitlines(), ""]:
        if line.startswith(("[", "#")):
            continue
        if not line.strip():
            if "COUNT" in example or "Count" in example:
                yield example
            example = {}
            continue
        name, _, value = line.partition("=")
        example[name.strip()] = value.strip()


@pytest.fixture(scope="module")
def run(token):
    """Run work in a session of the token, which then ends."""

    def run(work):
        with token._pool.lease() as session:
            session.broken = True
            return work(token._cryptoki, session.handle)

    return run


def private_key(p11, session, key):
    return p11.create_object(
        session,
        Template(
            {
                Attribute.CLASS: ObjectClass.PRIVATE_KEY,
                Attribute.KEY_TYPE: KeyType.RSA,
                Attribute.TOKEN: False,
                Attribute.DECRYPT: True,
                Attribute.MODULUS: key["Modulus"],
                Attribute.PUBLIC_EXPONENT: key["Public exponent"],
                **{kind: key[name] for name, kind in PRIVATE_PARTS.items()},
            }
        ),
    )


def aes_key(p11, session, value, **rights):
    return p11.create_object(
        session,
        Template(
            {
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.AES,
                Attribute.TOKEN: False,
                Attribute.SENSITIVE: False,
                Attribute.EXTRACTABLE: True,
                Attribute.VALUE: value,
                **{Attribute[right]: True for right in rights},
            }
        ),
    )


def test_oaep_with_sha256_decrypts_every_vector(run):
    def work(p11, session):
        decrypted = 0
        for key, message, encryption in oaep_examples(OAEP / "oaep-sha256-sha256.txt"):
            handle = private_key(p11, session, key)
            assert p11.decrypt(session, OAEP_SHA256, handle, encryption) == message
            decrypted += 1
        return decrypted

    assert run(work) >= 6


@pytest.mark.parametrize(
    "name",
    [f"oaep-{a}-{b}.txt" for a in HASHES for b in HASHES if (a, b) not in {("sha256", "sha256"), ("sha1", "sha1")}],
)
def test_oaep_with_sha256_refuses_every_vector_of_another_hash(token, name):
    tried = 0
    for key, _, encryption in oaep_examples(OAEP / name):
        with token._pool.lease() as session:
            session.broken = True
            handle = private_key(token._cryptoki, session.handle, key)
            with pytest.raises(CryptokiError):
                token._cryptoki.decrypt(session.handle, OAEP_SHA256, handle, encryption)
        tried += 1
    assert tried >= 6


def test_oaep_with_sha1_still_decrypts_where_it_is_asked_for(run):
    path = VECTORS / "asymmetric/RSA/pkcs-1v2-1d2-vec/oaep-vect.txt"

    def work(p11, session):
        sha1 = oaep(Mechanism.SHA_1, Mgf.MGF1_SHA1)
        decrypted = 0
        for key, message, encryption in oaep_examples(path):
            assert p11.decrypt(session, sha1, private_key(p11, session, key), encryption) == message
            decrypted += 1
        return decrypted

    assert run(work) >= 6


@pytest.mark.parametrize("pair", [(Mechanism.SHA256, Mgf.MGF1_SHA1), (Mechanism.SHA_1, Mgf.MGF1_SHA256)])
def test_a_parameter_that_would_not_be_used_is_not_accepted(run, pair):
    def work(p11, session):
        key, _, encryption = next(oaep_examples(OAEP / "oaep-sha256-sha256.txt"))
        with pytest.raises(CryptokiError) as caught:
            p11.decrypt(session, oaep(*pair), private_key(p11, session, key), encryption)
        return caught.value.rv

    assert run(work) == Rv.ARGUMENTS_BAD


def test_aes_kw_wraps_as_nist_does(run):
    def work(p11, session):
        wrapped = 0
        for example in nist_examples(VECTORS / "keywrap/kwtestvectors/KW_AE_256.txt"):
            plaintext = bytes.fromhex(example["P"])
            if len(plaintext) != 32:
                continue
            wrapping = aes_key(p11, session, bytes.fromhex(example["K"]), WRAP=1)
            key = aes_key(p11, session, plaintext)
            assert p11.wrap_key(session, AES_KW, wrapping, key) == bytes.fromhex(example["C"])
            wrapped += 1
            p11.destroy_object(session, key)
            p11.destroy_object(session, wrapping)
        return wrapped

    assert run(work) >= 20


def test_aes_kw_unwraps_as_nist_does_and_refuses_what_nist_refuses(token):
    outcomes = {"good": 0, "refused": 0}
    template = {
        Attribute.CLASS: ObjectClass.SECRET_KEY,
        Attribute.KEY_TYPE: KeyType.AES,
        Attribute.TOKEN: False,
        Attribute.SENSITIVE: False,
        Attribute.EXTRACTABLE: True,
    }
    p11 = token._cryptoki
    for example in nist_examples(VECTORS / "keywrap/kwtestvectors/KW_AD_256.txt"):
        wrapped = bytes.fromhex(example["C"])
        if len(wrapped) != 40:
            continue
        with token._pool.lease() as session:
            session.broken = True
            unwrapping = aes_key(p11, session.handle, bytes.fromhex(example["K"]), UNWRAP=1)
            if "FAIL" in example:
                with pytest.raises(CryptokiError):
                    p11.unwrap_key(session.handle, AES_KW, unwrapping, wrapped, Template(template))
                outcomes["refused"] += 1
            else:
                handle = p11.unwrap_key(session.handle, AES_KW, unwrapping, wrapped, Template(template))
                assert p11.attribute(session.handle, handle, Attribute.VALUE) == bytes.fromhex(example["P"])
                outcomes["good"] += 1
    assert min(outcomes.values()) >= 5


def test_aes_gcm_encrypts_as_nist_does(run):
    def work(p11, session):
        encrypted = 0
        path = VECTORS / "ciphers/AES/GCM/gcmEncryptExtIV256.rsp"
        for example in nist_examples(path):
            fields = {name: bytes.fromhex(example.get(name, "")) for name in ("Key", "IV", "PT", "AAD", "CT", "Tag")}
            if (len(fields["IV"]), len(fields["Tag"]), len(fields["PT"])) != (12, 16, 32):
                continue
            key = aes_key(p11, session, fields["Key"], ENCRYPT=1)
            sealed = p11.encrypt(session, aes_gcm(fields["IV"], fields["AAD"]), key, fields["PT"])
            assert sealed == fields["CT"] + fields["Tag"]
            encrypted += 1
            p11.destroy_object(session, key)
        return encrypted

    assert run(work) >= 20
