"""Everything else that a caller can get wrong: names, limits, and wrapped content keys that are not what they were."""

import os

import pytest
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import MainKey, WrappingKey

from tests.support.service import refused

UNKNOWN = "0" * 32


def reason_of(status):
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


# Wrapped content keys.


@pytest.fixture(scope="module")
def home(service):
    """An organisation with a KEK, for tests that change nothing."""
    org = service.new_organization()
    return org, org.new_kek().name


def is_rejected(result):
    assert result.status.code == Code.INVALID_ARGUMENT
    assert reason_of(result.status) == "WRAPPED_KEY_REJECTED"
    assert (result.plaintext, result.kek) == (b"", "")
    return result.status.message


def test_one_bit_flipped_anywhere(home):
    org, kek = home
    (key,) = org.generate(kek, document="a")
    changed = []
    for bit in range(8 * len(key.wrapped)):
        value = int.from_bytes(key.wrapped) ^ (1 << bit)
        changed.append(value.to_bytes(len(key.wrapped)))
    messages = {is_rejected(result) for result in org.unwrap_many(changed, document="a")}
    assert len(messages) == 1
    assert org.unwrap(key.wrapped, document="a").plaintext == key.plaintext


def test_cut_or_longer(home):
    org, kek = home
    (key,) = org.generate(kek)
    parts = [key.wrapped[:size] for size in range(len(key.wrapped))]
    longer = [key.wrapped + b"\0", key.wrapped + os.urandom(5000), b"\0" + key.wrapped]
    for result in org.unwrap_many(parts + longer):
        is_rejected(result)


@pytest.mark.parametrize("context", [{}, {"document": "b"}, {"document": "a", "more": ""}, {"Document": "a"}])
def test_another_context(home, context):
    org, kek = home
    (key,) = org.generate(kek, document="a")
    is_rejected(org.unwrap(key.wrapped, **context))


def test_of_another_organisation(home):
    org, kek = home
    (key,) = org.generate(kek)
    other = org.service.new_organization()
    other.new_kek()
    is_rejected(other.unwrap(key.wrapped))


def test_under_another_kek_of_the_same_organisation(home):
    org, kek = home
    (key,) = org.generate(kek)
    moved = key.wrapped[:1] + bytes.fromhex(org.new_kek().name.rpartition("/")[2]) + key.wrapped[17:]
    is_rejected(org.unwrap(moved))


def test_a_bad_item_does_not_fail_its_neighbours(home):
    org, kek = home
    keys = org.generate(kek, 3)
    results = org.unwrap_many([keys[0].wrapped, b"bad", keys[1].wrapped[:-1], keys[2].wrapped])
    assert [result.plaintext for result in results] == [keys[0].plaintext, b"", b"", keys[2].plaintext]
    items = [content_keys.WrapContentKeysItem(plaintext=os.urandom(size)) for size in (0, 1, 4096, 4097)]
    items.append(content_keys.WrapContentKeysItem(plaintext=b"x", context={"": "empty key"}))
    wrapped = org.user.content_keys.WrapContentKeys(content_keys.WrapContentKeysRequest(kek=kek, items=items)).results
    assert [result.status.code for result in wrapped] == [3, 0, 0, 3, 3]
    assert org.unwrap(wrapped[2].wrapped).plaintext == items[2].plaintext


# Limits.


@pytest.mark.parametrize(
    "context",
    [{f"k{number}": "" for number in range(65)}, {"k": "v" * 8192}, {"": "empty"}],
    ids=["65 entries", "over 8 KiB", "an empty key"],
)
def test_a_context_over_its_limits(home, context):
    org, kek = home
    request = content_keys.GenerateContentKeysRequest(kek=kek, context=context)
    with refused("INVALID_ARGUMENT", "INVALID_FIELD") as refusal:
        org.user.content_keys.GenerateContentKeys(request)
    assert refusal[0].metadata == {"field": "context"}
    assert reason_of(org.unwrap(b"\0" + os.urandom(76), k="v" * 8192).status) == "WRAPPED_KEY_REJECTED"
    (good,) = org.generate(kek)
    item = content_keys.UnwrapContentKeysItem(wrapped=good.wrapped, context=context)
    request = content_keys.UnwrapContentKeysRequest(parent=org.name, items=[item])
    assert reason_of(org.user.content_keys.UnwrapContentKeys(request).results[0].status) == "INVALID_FIELD"


@pytest.mark.parametrize("field", [{"count": 1001}, {"count": -1}, {"size_bytes": 15}, {"size_bytes": 65}])
def test_a_number_out_of_its_limits(home, field):
    org, kek = home
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        org.user.content_keys.GenerateContentKeys(content_keys.GenerateContentKeysRequest(kek=kek, **field))


@pytest.mark.parametrize("count", [0, 1001])
def test_too_few_or_too_many_items(home, count):
    org, kek = home
    items = [content_keys.UnwrapContentKeysItem(wrapped=b"x")] * count
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        org.user.content_keys.UnwrapContentKeys(content_keys.UnwrapContentKeysRequest(parent=org.name, items=items))
    items = [content_keys.WrapContentKeysItem(plaintext=b"x")] * count
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        org.user.content_keys.WrapContentKeys(content_keys.WrapContentKeysRequest(kek=kek, items=items))


def test_a_thousand_items_at_once(home):
    org, kek = home
    keys = org.generate(kek, 1000)
    assert [result.plaintext for result in org.unwrap_many([key.wrapped for key in keys])] == [
        key.plaintext for key in keys
    ]


@pytest.mark.parametrize("page", [{"page_size": -1}, {"page_size": 1001}, {"page_token": "none of ours"}])
def test_a_page_that_cannot_be(home, page):
    org, _ = home
    for call, request in (
        (org.admin.organizations.ListOrganizations, organizations.ListOrganizationsRequest(**page)),
        (org.admin.main_keys.ListMainKeys, main_keys.ListMainKeysRequest(parent=org.name, **page)),
        (org.user.content_keys.ListKeks, content_keys.ListKeksRequest(parent=org.name, **page)),
        (org.admin.rotations.ListRotations, rotations.ListRotationsRequest(parent=org.name, **page)),
    ):
        with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
            call(request)


@pytest.mark.parametrize("name", ["x" * 201, "new\nline", "bell\a", "\u202eright to left"])
def test_a_display_name_that_is_too_long_or_not_printable(service, name):
    request = organizations.CreateOrganizationRequest(organization_id=f"o{os.urandom(4).hex()}")
    request.organization.display_name = name
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        service.client("operator").organizations.CreateOrganization(request)


def test_an_organisation_that_exists(home):
    org, _ = home
    request = organizations.CreateOrganizationRequest(organization_id=org.id)
    with refused("ALREADY_EXISTS", "ORGANIZATION_EXISTS"):
        org.service.client("operator").organizations.CreateOrganization(request)


def test_a_wrapping_key_algorithm_that_does_not_exist(home):
    org, _ = home
    with refused("INVALID_ARGUMENT", "INVALID_FIELD"):
        org.admin.main_keys.GetWrappingKey(main_keys.GetWrappingKeyRequest(parent=org.name, algorithm=99))
    asked = main_keys.GetWrappingKeyRequest(parent=org.name, algorithm=WrappingKey.RSA_OAEP_4096_SHA256)
    assert org.admin.main_keys.GetWrappingKey(asked).algorithm == WrappingKey.RSA_OAEP_4096_SHA256


# Names.


def named_calls(org):
    """Every call that takes the name of something, with what it is called with and the collection."""
    c, m, r = content_keys, main_keys, rotations
    return [
        (org.admin.main_keys.GetMainKey, lambda name: m.GetMainKeyRequest(name=name), "mainKeys"),
        (org.admin.main_keys.ActivateMainKey, lambda name: m.ActivateMainKeyRequest(name=name), "mainKeys"),
        (org.admin.rotations.GetRotation, lambda name: r.GetRotationRequest(name=name), "rotations"),
        (org.user.content_keys.GetKek, lambda name: c.GetKekRequest(name=name), "keks"),
        (org.user.content_keys.GenerateContentKeys, lambda name: c.GenerateContentKeysRequest(kek=name), "keks"),
        (
            org.user.content_keys.WrapContentKeys,
            lambda name: c.WrapContentKeysRequest(kek=name, items=[c.WrapContentKeysItem(plaintext=b"x")]),
            "keks",
        ),
    ]


def test_unknown_names(home):
    org, _ = home
    for call, request, collection in named_calls(org):
        with refused("NOT_FOUND", "NOT_FOUND"):
            call(request(f"{org.name}/{collection}/{UNKNOWN}"))


@pytest.mark.parametrize(
    "form",
    [
        "",
        "{org}",
        "{org}/{collection}",
        "{org}/{collection}/",
        "{org}/{collection}/x",
        "{org}/{collection}/{id}/more",
        "{org}/others/{id}",
        "organizations/-/{collection}/{id}",
        "organizations/../{collection}/{id}",
        "{org}/{collection}/{id}\x00",
        " {org}/{collection}/{id}",
    ],
)
def test_malformed_names(home, form):
    org, _ = home
    for call, request, collection in named_calls(org):
        name = form.format(org=org.name, collection=collection, id=UNKNOWN)
        with refused("INVALID_ARGUMENT", "MALFORMED_NAME"):
            call(request(name))


def test_malformed_parents(home):
    org, _ = home
    for parent in ("", "acme", "organizations/", "organizations/A", f"{org.name}/", f"{org.name}/keks"):
        for call, request in (
            (org.admin.main_keys.GetWrappingKey, main_keys.GetWrappingKeyRequest(parent=parent)),
            (org.admin.main_keys.ListMainKeys, main_keys.ListMainKeysRequest(parent=parent)),
            (org.admin.rotations.ListRotations, rotations.ListRotationsRequest(parent=parent)),
            (org.user.content_keys.CreateKek, content_keys.CreateKekRequest(parent=parent)),
            (org.user.content_keys.ListKeks, content_keys.ListKeksRequest(parent=parent)),
        ):
            with refused("INVALID_ARGUMENT", "MALFORMED_NAME"):
                call(request)


# States.


def test_a_key_that_is_not_waiting_is_not_activated(org):
    first = org.bring()
    second = org.bring()
    org.await_state(first.name, "RETIRED")
    for name, state in ((second.name, "ACTIVE"), (first.name, "RETIRED")):
        with refused("FAILED_PRECONDITION", "ILLEGAL_TRANSITION") as refusal:
            org.activate(name)
        assert refusal[0].metadata["state"] == state
        assert "PreconditionFailure" in refusal[0].details
    with refused("FAILED_PRECONDITION", "ILLEGAL_TRANSITION"):
        org.activate(f"{org.name}/mainKeys/common")
    assert org.main_key(second.name).state == MainKey.ACTIVE


def test_a_message_over_four_megabytes(home):
    org, kek = home
    items = [content_keys.WrapContentKeysItem(plaintext=bytes(5 * 2**20))]
    with pytest.raises(Exception, match="larger than max") as caught:
        org.user.content_keys.WrapContentKeys(content_keys.WrapContentKeysRequest(kek=kek, items=items))
    assert caught.value.code().name == "RESOURCE_EXHAUSTED"
    org.generate(kek)


@pytest.mark.parametrize(
    ("method", "shape"),
    [
        ("keystead.v1.MainKeyService/RevokeMainKey", "unary_unary"),
        ("keystead.v1.RotationService/WatchRotation", "unary_stream"),
        ("keystead.v1.ContentKeyService/StreamContentKeys", "stream_stream"),
        ("grpc.health.v1.Health/Check", "unary_unary"),
        ("grpc.health.v1.Health/Watch", "unary_stream"),
        ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "stream_stream"),
    ],
)
def test_what_is_no_message_is_the_callers_fault_whichever_service_it_is_sent_to(home, method, shape):
    org, _ = home
    call = getattr(org.user.channel, shape)(f"/{method}")
    with refused("INVALID_ARGUMENT", "MALFORMED_REQUEST"):
        answer = call(iter([b"\xff" * 9]) if shape == "stream_stream" else b"\xff" * 9, timeout=20)
        if shape != "unary_unary":
            list(answer)


def test_a_stream_answers_what_came_before_what_is_no_message(home):
    org, kek = home
    batch = content_keys.StreamContentKeysRequest(id=7, generate=content_keys.GenerateContentKeysRequest(kek=kek))
    call = org.user.channel.stream_stream("/keystead.v1.ContentKeyService/StreamContentKeys")
    answers = call(iter([batch.SerializeToString(), b"\xff", batch.SerializeToString()]), timeout=20)
    assert content_keys.StreamContentKeysResponse.FromString(next(answers)).id == 7
    with refused("INVALID_ARGUMENT", "MALFORMED_REQUEST"):
        next(answers)
