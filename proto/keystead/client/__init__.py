"""A client of Keystead for services: content keys, with retries and checksums, and a cache that a revocation empties.

    with Client.from_environment() as client:
        [key] = client.generate(kek, context={"document": "report"})
        [outcome] = client.unwrap(organization, [Item(key.wrapped, {"document": "report"})])
        assert outcome.value == key.plaintext

It needs grpcio, protobuf, googleapis-common-protos and google-crc32c, and nothing of the service. docs/client.md tells
what it promises.
"""

from keystead.client.client import Client
from keystead.client.content_keys import ContentKey, Item, Outcome
from keystead.client.errors import (
    ClientClosedError,
    DamagedError,
    KeysteadError,
    LockedError,
    RefusedError,
    SettingsError,
    UnavailableError,
)
from keystead.client.key_cache import CacheLimits

__all__ = [
    "CacheLimits",
    "Client",
    "ClientClosedError",
    "ContentKey",
    "DamagedError",
    "Item",
    "KeysteadError",
    "LockedError",
    "Outcome",
    "RefusedError",
    "SettingsError",
    "UnavailableError",
]
