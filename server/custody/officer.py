"""The token's security officer, over the adapter, whose errors it passes on: they are for people to read."""

from typing_extensions import override

import hsm_adapter
from hsm_adapter import HsmSettings
from server.domain.ids import ObjectId
from server.domain.ports import ExaminedKey, Officer, OfficerPin


class HsmOfficer(Officer):
    """The security officer of one token; no session with it stays open from one step to the next."""

    def __init__(self, settings: HsmSettings) -> None:
        self._settings = settings

    @override
    def examine(self, object_id: ObjectId) -> ExaminedKey:
        found = hsm_adapter.examine(self._settings, bytes.fromhex(object_id))
        return ExaminedKey(found.fingerprint, found.is_marked)

    @override
    def mark(self, object_id: ObjectId, pin: OfficerPin) -> None:
        hsm_adapter.mark(self._settings, bytes.fromhex(object_id), pin)
