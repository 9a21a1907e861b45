import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.content_keys import OVERHEAD, WrappedContentKey, associated_data, check_plaintext
from server.domain.errors import InvalidFieldError, WrappedKeyRejectedError
from server.domain.ids import ObjectId, OrganizationId

KEK = ObjectId("ab" * 16)
ACME = OrganizationId("acme")
contexts = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=8)


@given(st.binary(min_size=29, max_size=4096 + 28))
def test_a_wrapped_content_key_is_read_as_it_was_written(sealed):
    wrapped = WrappedContentKey(KEK, sealed)
    assert WrappedContentKey.parse(wrapped.to_bytes()) == wrapped


@pytest.mark.parametrize("size", [0, 1, OVERHEAD, OVERHEAD + 4097])
def test_what_cannot_be_a_wrapped_content_key_by_its_size_is_refused(size):
    with pytest.raises(WrappedKeyRejectedError):
        WrappedContentKey.parse(b"\x01" * size)


@given(st.integers(0, 255).filter(lambda version: version != 1))
def test_another_version_is_refused(version):
    with pytest.raises(WrappedKeyRejectedError):
        WrappedContentKey.parse(bytes([version]) + bytes(100))


@given(contexts, contexts)
def test_two_contexts_authenticate_the_same_only_if_they_are_the_same(one, other):
    same = associated_data(ACME, KEK, one) == associated_data(ACME, KEK, other)
    assert same == (one == other)


@given(contexts)
def test_the_order_of_a_context_does_not_matter(context):
    backwards = dict(reversed(context.items()))
    assert associated_data(ACME, KEK, context) == associated_data(ACME, KEK, backwards)


def test_organization_and_kek_are_authenticated():
    plain = associated_data(ACME, KEK, {})
    assert plain != associated_data(OrganizationId("acmf"), KEK, {})
    assert plain != associated_data(ACME, ObjectId("ac" * 16), {})
    assert associated_data(ACME, KEK, {"a": "b"}) != associated_data(ACME, KEK, {"ab": ""})


@pytest.mark.parametrize(
    "context",
    [{f"k{n}": "" for n in range(65)}, {"k": "v" * 8192}, {"k": "é" * 4096}, {"": "v"}],
    ids=["65 entries", "8193 bytes", "8193 bytes of UTF-8", "empty key"],
)
def test_a_context_over_its_limits_is_refused(context):
    with pytest.raises(InvalidFieldError):
        associated_data(ACME, KEK, context)


def test_a_context_at_its_limits_is_taken():
    associated_data(ACME, KEK, {f"k{n}": "" for n in range(64)})
    associated_data(ACME, KEK, {"k": "v" * 8191})


@pytest.mark.parametrize("size", [0, 4097])
def test_a_content_key_out_of_its_limits_is_refused(size):
    with pytest.raises(InvalidFieldError):
        check_plaintext(bytes(size))
