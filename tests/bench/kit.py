"""What the benches of content keys have in common: a service, its rows, and requests."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keystead.v1.content_key_service_pb2 import UnwrapContentKeysItem, UnwrapContentKeysRequest

from server.domain.content_keys import WrappedContentKey, associated_data
from tests.bench.bare import Sealed
from tests.bench.callers import Target
from tests.support.rows import rows_of
from tests.support.service import Organization, Service, running

UNWRAP = "/keystead.v1.ContentKeyService/UnwrapContentKeys"


@contextmanager
def served(workers: int, **settings: str) -> Iterator[tuple[Service, Organization]]:
    """Have a service on SQLite for a block, and an organisation that has brought its key."""
    with (
        tempfile.TemporaryDirectory(prefix="keystead-bench-") as folder,
        running(Path(folder), server__workers=str(workers), **settings) as service,
    ):
        org = service.new_organization()
        org.bring()
        yield service, org


def unwrapping(org: Organization, wrapped: Sequence[bytes]) -> UnwrapContentKeysRequest:
    return UnwrapContentKeysRequest(parent=org.name, items=[UnwrapContentKeysItem(wrapped=it) for it in wrapped])


def target_of(service: Service, org: Organization, requests: Sequence[UnwrapContentKeysRequest]) -> Target:
    """What callers need to know to ask for these, which are all answered alike."""
    files = service.identity(f"service:{org.id}")
    ca, key, certificate = (Path(files[f"KEYSTEAD_{name}"]).read_bytes() for name in ("CA", "KEY", "CERT"))
    answer = org.user.content_keys.UnwrapContentKeys(requests[0])
    assert not any(it.HasField("status") for it in answer.results)
    return Target(
        address=service.address,
        method=UNWRAP,
        requests=[it.SerializeToString() for it in requests],
        ca=ca,
        key=key,
        certificate=certificate,
        answer_size=answer.ByteSize(),
    )


def sealed_of(service: Service, org: Organization, wrapped: Sequence[bytes]) -> tuple[bytes, list[Sealed]]:
    """The main key's object in the token, and content keys as the bare loop takes them."""
    database = f"sqlite:///{service.folder}/keystead.db"
    parsed = [WrappedContentKey.parse(it) for it in wrapped]
    with rows_of(database) as rows:
        forms = dict(rows.all("SELECT id, wrapped FROM keks WHERE organization = :org", org=org.id))
        (object_id,) = rows.one(
            "SELECT object_id FROM main_keys WHERE organization = :org AND state = 'ACTIVE'", org=org.id
        )
    return bytes.fromhex(object_id), [
        Sealed(forms[it.kek], it.sealed, associated_data(org.id, it.kek, {})) for it in parsed
    ]
