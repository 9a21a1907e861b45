"""A custody that makes few RSA pairs: each takes a second, and a test of other things should not wait for many.

Everything else is the real custody. A pair whose wrapping key was destroyed serves again under the next one's id; that
a wrapping key is good for one upload is kept by the rows here, and tested with real pairs in tests/service.
"""

import secrets

from hsm_adapter import HsmToken
from server.custody.hsm import HsmCustody
from server.domain.ids import ObjectId, object_id
from server.domain.intents import ObjectRole
from server.domain.wrapping_keys import Algorithm


class PooledCustody(HsmCustody):
    """Custody over one token."""

    def __init__(self, token: HsmToken) -> None:
        super().__init__(token)
        self._pairs: dict[ObjectId, bytes] = {}
        self._free: list[ObjectId] = []
        self._lent: dict[ObjectId, ObjectId] = {}

    def create_wrapping_key(self, object_id_: ObjectId, algorithm: Algorithm) -> bytes:
        if not self._free:
            pair = object_id(secrets.token_bytes(16))
            self._pairs[pair] = super().create_wrapping_key(pair, algorithm)
            self._free.append(pair)
        pair = self._free.pop()
        self._lent[object_id_] = pair
        return self._pairs[pair]

    def _pair(self, wrapping_key: ObjectId) -> ObjectId:
        return self._lent.get(wrapping_key, wrapping_key)

    def check_wrapping_key(self, object_id: ObjectId, public_key: bytes) -> None:
        super().check_wrapping_key(self._pair(object_id), public_key)

    def examine_main_key(self, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        return super().examine_main_key(self._pair(wrapping_key), encrypted)

    def unwrap_main_key(self, object_id: ObjectId, wrapping_key: ObjectId, encrypted: bytes) -> bytes:
        return super().unwrap_main_key(object_id, self._pair(wrapping_key), encrypted)

    def destroy(self, role: ObjectRole, object_id: ObjectId) -> None:
        if role is ObjectRole.WRAPPING_KEY:
            pair = self._lent.pop(object_id, None)
            if pair is not None:
                self._free.append(pair)
            return
        super().destroy(role, object_id)

    def objects(self) -> list[tuple[ObjectRole | None, str]]:
        lent = {pair: wrapping_key for wrapping_key, pair in self._lent.items()}
        found = super().objects()
        return [(role, lent.get(ObjectId(it), it)) for role, it in found if ObjectId(it) not in self._free]
