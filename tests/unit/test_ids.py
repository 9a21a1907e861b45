import pytest

from server.domain.errors import MalformedNameError
from server.domain.ids import KekName, MainKeyName, OrganizationName, object_id, organization_id

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("text", ["abc", "a-1", "a" * 63, "x0-9z"])
def test_a_well_formed_organization_id_is_taken_as_it_is(text):
    assert organization_id(text) == text
    assert str(OrganizationName.parse(f"organizations/{text}")) == f"organizations/{text}"


@pytest.mark.parametrize(
    "text", ["", "ab", "a" * 64, "1abc", "-abc", "abc-", "Abc", "a_c", "a/c", "abc\n", "ábc", "a b", "abc\x00"]
)
def test_a_malformed_organization_id_is_refused(text):
    with pytest.raises(MalformedNameError):
        organization_id(text)
    with pytest.raises(MalformedNameError):
        OrganizationName.parse(f"organizations/{text}")
    with pytest.raises(MalformedNameError):
        KekName.parse(f"organizations/{text}/keks/{ID}")


def test_a_name_is_read_and_written_the_same():
    name = KekName.parse(f"organizations/acme/keks/{ID}")
    assert (name.organization, name.id) == ("acme", ID)
    assert str(name) == f"organizations/acme/keks/{ID}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ID,
        f"organizations/acme/mainKeys/{ID}",
        f"organizations/acme/keks/{ID}/",
        f"organizations/acme/keks/{ID[:-1]}",
        f"organizations/acme/keks/{ID.upper()}",
        f"organizations/acme/keks/{ID}\n",
        f"/organizations/acme/keks/{ID}",
        f"organisations/acme/keks/{ID}",
        "organizations/acme/keks/common",
        "organizations/acme/keks",
    ],
)
def test_a_name_of_another_form_or_collection_is_refused(name):
    with pytest.raises(MalformedNameError):
        KekName.parse(name)


def test_only_main_keys_know_the_common_key():
    assert MainKeyName.parse("organizations/acme/mainKeys/common").id == "common"


def test_an_id_is_made_of_16_bytes():
    assert object_id(bytes(16)) == "0" * 32
    with pytest.raises(ValueError, match="16 bytes"):
        object_id(bytes(15))
