"""docs/hsm.md says what is asked of a token."""

import ctypes
import json

from hsm_adapter import TrustMode, templates
from hsm_adapter.constants import Attribute, Mechanism, Mgf
from hsm_adapter.profiles import PROFILES
from hsm_adapter.structures import Template
from tests.docs.pages import ROOT, page, prose, table, words

HSM = page("docs/hsm.md")
STANDARD = PROFILES["standard"]

ROLES = {
    "wrapping key": templates.wrapping_private(bytes(16)),
    "main key": templates.unwrapped_main_key(bytes(16), STANDARD),
    "audit key": templates.audit_private(bytes(16), templates.SignatureAlgorithm.ECDSA_P256_SHA256),
    "KEK, birth": templates.kek_birth(),
    "KEK, use": templates.kek_use(STANDARD),
    "KEK, re-wrap": templates.kek_rewrap(STANDARD),
}


def attributes(template: Template) -> dict[str, str]:
    """What a template says of rights, as the page writes it."""
    said = {}
    for attribute in template.array:
        kind = Attribute(attribute.type)
        value = ctypes.string_at(attribute.value, attribute.length)
        if attribute.length == 1:
            said[f"CKA_{kind.name}"] = "yes" if value == b"\1" else "no"
        elif kind is Attribute.ALLOWED_MECHANISMS:
            said[f"CKA_{kind.name}"] = Mechanism(int.from_bytes(value, "little")).name
        elif kind is Attribute.UNWRAP_TEMPLATE:
            said[f"CKA_{kind.name}"] = "pinned"
    return said


def test_every_role_has_the_attributes_that_are_told():
    rows = table(HSM, "What the token must be able to do", "attribute")
    for place, (role, template) in enumerate(ROLES.items(), start=1):
        told = {row[0]: row[place] for row in rows if row[place]}
        if "CKA_UNWRAP_TEMPLATE" in told:
            told["CKA_UNWRAP_TEMPLATE"] = "pinned"
        assert told == attributes(template), role
    # A main key that the token makes is not another one.
    made = attributes(templates.generated_main_key(bytes(16)))
    assert made == attributes(ROLES["main key"])
    # An audit key of the other algorithm differs in the mechanism alone.
    other = attributes(templates.audit_private(bytes(16), templates.SignatureAlgorithm.RSA_PSS_3072_SHA256))
    assert other == {**attributes(ROLES["audit key"]), "CKA_ALLOWED_MECHANISMS": "RSA_PKCS_PSS"}


def test_every_check_of_the_probe_is_told_in_its_order(service):
    report = json.loads(service.keystead("hsm", "probe", "--config", service.config, "--json").stdout)
    rows = table(HSM, "The probe", "check")
    assert [check for check, _ in rows] == [check["name"] for check in report["checks"]]
    assert all(meaning for _, meaning in rows)
    besides = table(HSM, "The probe", "check for `trusted`")
    assert [check for check, _ in besides] == [check["name"] for check in report["trust_checks"]]
    assert all(meaning for _, meaning in besides)
    assert report["ok"]
    assert f"Default is `{report['trust_mode']}`," in " ".join(prose(HSM).split())


def test_every_trust_mode_is_told():
    assert [words(mode)[0] for mode, _ in table(HSM, "Trust mode", "trust mode")] == [it.value for it in TrustMode]


def test_in_the_mode_trusted_only_the_demand_for_a_mark_comes_to_keks():
    mode = TrustMode.TRUSTED
    for flags, trusted in {
        templates.kek_birth(): templates.kek_birth(mode),
        templates.kek_use(STANDARD): templates.kek_use(STANDARD, mode),
        templates.kek_rewrap(STANDARD): templates.kek_rewrap(STANDARD, mode),
    }.items():
        assert attributes(trusted) == {**attributes(flags), "CKA_WRAP_WITH_TRUSTED": "yes"}
    assert attributes(templates.unwrapped_main_key(bytes(16), STANDARD, mode)) == attributes(ROLES["main key"])


def test_every_profile_is_told():
    assert [words(profile)[0] for profile, *_ in table(HSM, "Profiles", "profile")] == list(PROFILES)


def test_the_mechanisms_are_those_of_pkcs11():
    rows = table(HSM, "What the token must be able to do", "mechanism")
    named = {word.strip(",") for mechanism, _ in rows for word in mechanism.split() if word.startswith(("CKM", "CKG"))}
    assert named <= {f"CKM_{it.name}" for it in Mechanism} | {f"CKG_{it.name}" for it in Mgf}
    assert len(rows) == 8


def test_a_token_is_said_to_be_proven_or_only_read_about():
    rows = table(HSM, "What is known about other tokens", "token")
    assert {how for *_, how in rows} == {"measured", "read"}


def test_every_patch_of_the_development_token_and_of_its_proxy_is_told():
    there = {str(it.relative_to(ROOT)) for it in (ROOT / "scripts").glob("*/patches/*")}
    assert {word for word in words(prose(HSM)) if word.endswith(".patch")} == there
