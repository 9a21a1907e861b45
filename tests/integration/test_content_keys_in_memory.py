"""Content keys in the memory that the adapter keeps for what functions write, on a real SoftHSM2."""

import secrets

import pytest

from hsm_adapter import RejectedInputError
from hsm_adapter.cryptoki import _MOST_ADDED, _USUAL_SIZE
from tests.support.keks import Used


@pytest.fixture
def kek(token) -> Used:
    main_key = secrets.token_bytes(16)
    token.generate_main_key(main_key)
    return Used(token, main_key, token.create_kek(main_key, b"memory"), b"memory")


def kept_memory(token) -> bytes:
    return bytes(token._cryptoki._own.output._memory)


def test_a_content_key_does_not_stay_in_the_memory_that_is_used_again(token, kek):
    plaintext = secrets.token_bytes(64)
    sealed = kek.encrypt(plaintext, b"data")
    assert kek.decrypt(sealed, b"data") == plaintext
    with pytest.raises(RejectedInputError):
        kek.decrypt(sealed, b"other data")
    assert kept_memory(token) == bytes(_USUAL_SIZE + _MOST_ADDED)


@pytest.mark.parametrize("size", [0, 1, _USUAL_SIZE - 16, _USUAL_SIZE, _USUAL_SIZE + 1, 3 * _USUAL_SIZE])
def test_data_of_every_size_comes_back_as_it_was(token, kek, size):
    plaintext = secrets.token_bytes(size)
    assert kek.decrypt(kek.encrypt(plaintext, b""), b"") == plaintext
