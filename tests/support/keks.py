"""A KEK of a token, used alone: each of these loads it anew."""

from itertools import count

from hsm_adapter import HsmToken, KekToUse, WrappedKek

_stamps = count(1)


class Used:
    def __init__(self, token: HsmToken, main_key: bytes, kek: WrappedKek, context: bytes, tenant: str = "acme") -> None:
        self.token = token
        self.kek = KekToUse(tenant, context, next(_stamps), main_key, kek)

    def load(self) -> None:
        self.encrypt(b"", b"")

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        return self.token.with_keks(lambda keks: keks.encrypt(self.kek, plaintext, associated_data), first=self.kek)

    def decrypt(self, sealed: bytes, associated_data: bytes) -> bytes:
        return self.token.with_keks(lambda keks: keks.decrypt(self.kek, sealed, associated_data), first=self.kek)
