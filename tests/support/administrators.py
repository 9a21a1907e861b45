"""Many administrators of one organisation at once: each makes random moves, and all that they are told is kept."""

import random
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import MainKey, Rotation

from tests.support.crowd import DEADLINE, dice
from tests.support.service import Client, Organization, Refusal, refusal_of

MOVES: dict[int, type[Message]] = {
    MainKey.ACTIVATE: main_keys.ActivateMainKeyRequest,
    MainKey.REVOKE: main_keys.RevokeMainKeyRequest,
    MainKey.DELETE: main_keys.DeleteMainKeyRequest,
    MainKey.UNDELETE: main_keys.UndeleteMainKeyRequest,
}


@dataclass(frozen=True)
class Upload:
    """An encrypted main key, ready to be imported."""

    wrapping_key: str
    encrypted: bytes


@dataclass(frozen=True)
class Outcome:
    """What somebody asked for, and was told."""

    request: Message
    asked: datetime
    answered: datetime
    reply: Message | None = None
    refusal: Refusal | None = None

    @property
    def request_id(self) -> str:
        return self.request.request_id


@dataclass
class Office:
    """What the administrators share."""

    org: Organization
    uploads: Sequence[Upload]
    moves: int
    """How many are made in all."""
    deadline: float
    """Seconds, after which nobody begins another move."""
    outcomes: list[Outcome] = field(default_factory=list)
    _closed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def may_go_on(self) -> bool:
        with self._lock:
            self.moves -= 1
            return self.moves >= 0 and not self._closed.is_set()

    def work(self, count: int, rng: random.Random) -> None:
        """Let so many administrators make their moves."""
        closing = threading.Timer(self.deadline, self._closed.set)
        closing.start()
        try:
            with ThreadPoolExecutor(count) as pool:
                at_work = [pool.submit(self._one, dice(rng.randrange(2**32))) for _ in range(count)]
                for one in at_work:
                    one.result()
        finally:
            closing.cancel()

    def _one(self, rng: random.Random) -> None:
        client = self.org.service.new_client(f"admin:{self.org.id}")
        try:
            administrator = Administrator(self, client, rng)
            while self.may_go_on():
                administrator.make_a_move()
        finally:
            client.channel.close()


class Administrator:
    """One of them."""

    def __init__(self, office: Office, client: Client, rng: random.Random) -> None:
        self._office = office
        self._client = client
        self._rng = rng
        self._calls: dict[type[Message], Callable[..., Message]] = {
            main_keys.ActivateMainKeyRequest: client.main_keys.ActivateMainKey,
            main_keys.RevokeMainKeyRequest: client.main_keys.RevokeMainKey,
            main_keys.DeleteMainKeyRequest: client.main_keys.DeleteMainKey,
            main_keys.UndeleteMainKeyRequest: client.main_keys.UndeleteMainKey,
            main_keys.ImportMainKeyRequest: client.main_keys.ImportMainKey,
            organizations.EnableByokRequest: client.organizations.EnableByok,
            organizations.DisableByokRequest: client.organizations.DisableByok,
            rotations.PauseRotationRequest: client.rotations.PauseRotation,
            rotations.ResumeRotationRequest: client.rotations.ResumeRotation,
        }

    def make_a_move(self) -> None:
        (choose,) = self._rng.choices(
            (self._move_a_key, self._hold_a_rotation, self._import, self._switch_byok, self._repeat),
            weights=(58, 14, 10, 6, 12),
        )
        self.ask(choose() or self._move_a_key())

    def ask(self, request: Message) -> None:
        asked = datetime.now(UTC)
        reply, refusal = None, None
        try:
            reply = self._calls[type(request)](request, timeout=DEADLINE)
        except grpc.RpcError as error:
            refusal = refusal_of(error)
        self._office.outcomes.append(Outcome(request, asked, datetime.now(UTC), reply, refusal))

    # What to ask for.

    def _move_a_key(self) -> Message:
        request = main_keys.ListMainKeysRequest(parent=self._office.org.name, page_size=1000, show_removed=True)
        keys = self._client.main_keys.ListMainKeys(request, timeout=DEADLINE).main_keys
        movable = [key for key in keys if key.next_moves]
        if movable and self._rng.random() < 0.8:
            key = self._rng.choice(movable)
            move = self._rng.choice(key.next_moves)
        else:
            key = self._rng.choice(keys)
            move = self._rng.choice(list(MOVES))
        more = {}
        if move == MainKey.REVOKE:
            more["reason"] = "a random move"
            if self._rng.random() < 0.5:
                more["reactivate_after"] = Duration(seconds=60)
        return MOVES[move](name=key.name, **self._terms(key.etag), **more)

    def _hold_a_rotation(self) -> Message | None:
        request = rotations.ListRotationsRequest(parent=self._office.org.name, page_size=1000)
        found = self._client.rotations.ListRotations(request, timeout=DEADLINE).rotations
        unfinished = [it for it in found if it.state in {Rotation.RUNNING, Rotation.PAUSED}]
        if not found:
            return None
        rotation = self._rng.choice(unfinished or found)
        kind = self._rng.choice((rotations.PauseRotationRequest, rotations.ResumeRotationRequest))
        return kind(name=rotation.name, **self._terms(rotation.etag))

    def _import(self) -> Message:
        upload = self._rng.choice(self._office.uploads)
        return main_keys.ImportMainKeyRequest(
            parent=self._office.org.name,
            wrapping_key=upload.wrapping_key,
            encrypted_key=upload.encrypted,
            activation=self._rng.choice((main_keys.NOW, main_keys.LATER, main_keys.LATER)),
            **self._terms(self._organization_etag()),
        )

    def _switch_byok(self) -> Message:
        kind = self._rng.choice((organizations.EnableByokRequest, organizations.DisableByokRequest))
        return kind(name=self._office.org.name, **self._terms(self._organization_etag()))

    def _repeat(self) -> Message | None:
        """Send a request of anybody's once more, or another one under its id."""
        with_id = [it.request for it in list(self._office.outcomes)[-200:] if it.request_id]
        if not with_id:
            return None
        request = self._rng.choice(with_id)
        if self._rng.random() < 0.2:
            return organizations.EnableByokRequest(name=self._office.org.name, request_id=request.request_id)
        return request

    def _organization_etag(self) -> str:
        request = organizations.GetOrganizationRequest(name=self._office.org.name)
        return self._client.organizations.GetOrganization(request, timeout=DEADLINE).etag

    def _terms(self, etag: str) -> dict[str, str]:
        terms = {}
        if self._rng.random() < 0.6:
            terms["request_id"] = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        if self._rng.random() < 0.4:
            terms["etag"] = etag
        return terms
