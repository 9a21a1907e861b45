"""CRC32C by the vectors of its standard, and what is said of a checksum that is wrong."""

import pytest
from keystead.v1.content_key_service_pb2 import UnwrapContentKeysItem, WrapContentKeysItem

from server.cli import checksums as of_the_command_line
from server.domain.errors import ChecksumMismatchError
from server.grpc_api.checksums import crc32c, demand_intact, mismatch

# Source: RFC 3720, appendix B.4, whose CRCs are written there byte by byte, the lowest first; the last of them is the
# check value that catalogues of CRCs give.
VECTORS = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


@pytest.mark.parametrize(("data", "checksum"), VECTORS)
def test_the_checksum_is_that_of_the_standard(data, checksum):
    assert crc32c(data) == of_the_command_line.crc32c(data) == checksum


@pytest.mark.parametrize("bit", range(32))
def test_a_checksum_of_which_one_bit_is_wrong_is_told(bit):
    right = crc32c(b"content key")
    assert mismatch(WrapContentKeysItem(plaintext=b"content key", plaintext_crc32c=right), "plaintext") is None
    wrong = WrapContentKeysItem(plaintext=b"content key", plaintext_crc32c=right ^ (1 << bit))
    fault = mismatch(wrong, "plaintext")
    assert isinstance(fault, ChecksumMismatchError)
    assert fault.metadata == {"field": "plaintext"}
    with pytest.raises(ChecksumMismatchError) as caught:
        demand_intact(wrong, "plaintext")
    for told in (str(caught.value), repr(caught.value)):
        assert not any(form in told for form in (f"{right:x}", str(right), str(wrong.plaintext_crc32c), "content key"))


def test_a_checksum_of_zero_is_not_the_same_as_none():
    assert mismatch(UnwrapContentKeysItem(wrapped=b"x"), "wrapped") is None
    assert mismatch(UnwrapContentKeysItem(wrapped=b"", wrapped_crc32c=0), "wrapped") is None
    assert mismatch(UnwrapContentKeysItem(wrapped=b"x", wrapped_crc32c=0), "wrapped") is not None
