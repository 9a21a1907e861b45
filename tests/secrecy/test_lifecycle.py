"""No value of a wrapping key, main key or KEK crosses the PKCS#11 API in clear, in either direction.

Proven on a recording of every call of a whole life: from the common key over a first and a second key of the customer's
own, with KEKs, content keys, rotations and refused input, to the removal of the first and the loss and recovery of the
second. The values are looked for, and, since those that are made in the token are known to nobody, every call is held
against lists of what is allowed. What the token is probed with at start-up is not part of it: a probe tries attacks on
purpose, on public values.
"""

from collections import Counter

from tests.support.spy_rules import seen_in_calls, seen_in_text, violations


def test_the_recording_holds_a_whole_life(recording):
    done = Counter(call.function for call in recording.calls if call.rv == "CKR_OK")
    refused = Counter(call.function for call in recording.calls if call.rv != "CKR_OK")
    assert len(recording.lifecycle.main_keys) == 2
    assert len(recording.lifecycle.refused) == 5
    assert len(recording.lifecycle.keks) == 4
    # The audit key; a wrapping key for five bad uploads, one for each main key, and one for verifying and one for
    # recovering the second; what the canary generates comes on top.
    assert done["C_GenerateKeyPair"] == 1 + 5
    assert done["C_Sign"] >= 2
    assert done["C_GenerateKey"] >= 1 + 4
    assert done["C_CreateObject"] >= 1 + 2 * 2
    assert refused.keys() == {"C_UnwrapKey", "C_Decrypt"}
    assert {"C_WrapKey", "C_DestroyObject", "C_GetAttributeValue", "C_FindObjects"} < done.keys()


def test_the_log_is_understood_as_it_was_meant(recording):
    answered = {call.answered.get("pWrappedKey[*pulWrappedKeyLen]") for call in recording.calls}
    stored = [wrapped for wrapped in answered if isinstance(wrapped, bytes) and wrapped in recording.rows]
    assert len(stored) >= len(recording.lifecycle.keks)
    assert {len(wrapped) for wrapped in stored} == {40}
    (login,) = [call for call in recording.calls if call.function == "C_Login"]
    assert login.given["pPin[ulPinLen]"] == recording.pin


def test_what_does_cross_is_found_by_the_same_search(recording):
    # Content keys are the product: they cross where they are made, wrapped and unwrapped, and nowhere else.
    functions = [seen_in_calls(recording.calls, key) for key in recording.lifecycle.content_keys.values()]
    generated = {"C_GenerateRandom", "C_Encrypt", "C_Decrypt"}
    assert Counter(map(frozenset, functions)) == {
        frozenset(generated): 8,
        frozenset(generated - {"C_GenerateRandom"}): 4,
    }
    assert all(seen_in_text(recording.text, key) for key in recording.lifecycle.content_keys.values())
    # One in hexadecimal, one as it is.
    assert seen_in_text(recording.text, recording.pin)
    assert seen_in_text(recording.rows, next(iter(recording.lifecycle.content_keys))[1:17].hex().encode())


def test_no_main_key_and_no_kek_crosses(recording):
    life = recording.lifecycle
    for secret in (*life.main_keys, *life.refused, *life.keks.values()):
        assert seen_in_calls(recording.calls, secret) == set()
        assert not seen_in_text(recording.text, secret)


def test_no_key_in_clear_is_in_the_database(recording):
    life = recording.lifecycle
    for secret in (*life.main_keys, *life.refused, *life.keks.values(), *life.content_keys.values()):
        assert not seen_in_text(recording.rows, secret)


def test_no_call_is_made_that_could_carry_a_key_in_clear(recording):
    assert violations(recording.calls) == []
