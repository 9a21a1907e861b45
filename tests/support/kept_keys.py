"""What tests ask of a client that keeps content keys: what it has, and how many calls it made for it."""

from keystead.client import Client, Item, KeysteadError
from keystead.v1.main_key_service_pb2 import ActivateMainKeyRequest, RevokeMainKeyRequest

from tests.support.relay import Relay
from tests.support.service import Organization, eventually

CONTEXT = {"document": "report"}
"""Of the content keys that tests keep."""


def revoke(org, main_key: str) -> None:
    org.admin.main_keys.RevokeMainKey(RevokeMainKeyRequest(name=main_key))


def activate(org, main_key: str) -> None:
    org.admin.main_keys.ActivateMainKey(ActivateMainKeyRequest(name=main_key))


def unwrap(client: Client, org: Organization, items: list[Item], **more) -> list[bytes]:
    return [it.value for it in client.unwrap(org.name, items, **more)]


def is_answered(client: Client, org: Organization, items: list[Item]) -> bool:
    try:
        return bool(unwrap(client, org, items))
    except KeysteadError:
        return False


def kept(client: Client, org: Organization) -> list[bytearray]:
    known = client._cache._known.get(org.name)
    return [key.value for key in known.keys.values()] if known else []


def fill(client: Client, org: Organization, items: list[Item]) -> list[bytes]:
    """Have the client keep these; it does so when the service says that the organisation, locked before, may work."""
    eventually(lambda: is_answered(client, org, items) and len(kept(client, org)) == len(items), "keys are kept")
    return unwrap(client, org, items)


def calls(line: Relay, method: str = "UnwrapContentKeys") -> int:
    return len(line.requests.get(method, []))
