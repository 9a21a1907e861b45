"""A caller that does a bit of everything, good and bad, and knows what each answer has to be."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from keystead.v1 import content_key_service_pb2 as content_keys
from keystead.v1 import main_key_service_pb2 as main_keys
from keystead.v1 import organization_service_pb2 as organizations
from keystead.v1 import rotation_service_pb2 as rotations
from keystead.v1.resources_pb2 import Rotation

from tests.support.service import Client, Organization, refused

DEADLINE = 30.0
"""Seconds for one call."""
_REMEMBERED = 500
"""Content keys that a caller goes on unwrapping; beyond them, new ones take the place of old ones."""
_UNKNOWN = 32 * "0"


@dataclass(frozen=True)
class Known:
    """A content key whose value is known."""

    kek: str
    wrapped: bytes
    plaintext: bytes
    context: Mapping[str, str]


def reason_of(status: Status) -> str:
    """Return why an item was refused; nothing if it was not."""
    info = ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in status.details) else ""


class MixedCaller:
    """The service of one organisation, which now and then asks as its administrator, and tries what is not its own."""

    def __init__(self, own: Organization, foreign: Organization, rng: random.Random) -> None:
        self._own, self._foreign, self._rng = own, foreign, rng
        self._user, self._admin = (own.service.new_client(f"{role}:{own.id}") for role in ("service", "admin"))
        self._keks = [self._create_kek(), self._create_kek()]
        self._strangers: Sequence[MixedCaller] = ()
        self.known: list[Known] = []
        self.done: Counter[str] = Counter()
        self._actions: Mapping[Callable[[], object], int] = {
            self.create_kek: 3,
            self.generate: 20,
            self.wrap: 15,
            self.unwrap: 40,
            self.look_at_keks: 6,
            self.look_at_main_keys: 6,
            self.look_at_organizations: 4,
            self.get_wrapping_key: 2,
            self.ask_badly: 15,
        }

    def close(self) -> None:
        self._user.channel.close()
        self._admin.channel.close()

    def go_on(self, until: float, others: Sequence["MixedCaller"]) -> None:
        """Call again and again until the monotonic clock says so, or something is not as it has to be.

        Args:
            until: seconds.
            others: some of them make content keys that are foreign here.
        """
        self._strangers = [other for other in others if other._own != self._own]
        self.generate()
        while time.monotonic() < until:
            (action,) = self._rng.choices(list(self._actions), list(self._actions.values()))
            action()
            self.done[action.__name__] += 1

    # What a service does.

    def _create_kek(self) -> str:
        request = content_keys.CreateKekRequest(parent=self._own.name)
        return self._user.content_keys.CreateKek(request, timeout=DEADLINE).name

    def create_kek(self) -> None:
        self._keks.append(self._create_kek())

    def _remember(self, known: Known) -> None:
        if len(self.known) < _REMEMBERED:
            self.known.append(known)
        else:
            self.known[self._rng.randrange(_REMEMBERED)] = known

    def _context(self) -> dict[str, str]:
        return {f"key {number}": self._rng.randbytes(4).hex() for number in range(self._rng.randrange(3))}

    def generate(self) -> None:
        kek, context = self._rng.choice(self._keks), self._context()
        count, size = self._rng.randint(1, 5), self._rng.randint(16, 64)
        request = content_keys.GenerateContentKeysRequest(kek=kek, count=count, size_bytes=size, context=context)
        made = self._user.content_keys.GenerateContentKeys(request, timeout=DEADLINE).content_keys
        assert [len(key.plaintext) for key in made] == [size] * count
        for key in made:
            self._remember(Known(kek, key.wrapped, key.plaintext, context))

    def wrap(self) -> None:
        kek, context = self._rng.choice(self._keks), self._context()
        good = [self._rng.randbytes(self._rng.choice((1, 32, 4096))) for _ in range(self._rng.randint(1, 3))]
        items = [content_keys.WrapContentKeysItem(plaintext=it, context=context) for it in (*good, b"", bytes(4097))]
        request = content_keys.WrapContentKeysRequest(kek=kek, items=items)
        *wrapped, empty, too_long = self._user.content_keys.WrapContentKeys(request, timeout=DEADLINE).results
        assert {reason_of(empty.status), reason_of(too_long.status)} == {"INVALID_FIELD"}
        for plaintext, result in zip(good, wrapped, strict=True):
            assert not result.HasField("status"), result.status.message
            self._remember(Known(kek, result.wrapped, plaintext, context))

    def unwrap(self) -> None:
        """Unwrap some that are known, and behind them some that are changed, foreign or in the wrong context."""
        good = self._rng.choices(self.known, k=self._rng.randint(1, 10))
        victim = self._rng.choice(self.known)
        changed = bytearray(victim.wrapped)
        changed[self._rng.randrange(len(changed))] ^= 1 << self._rng.randrange(8)
        stranger = self._rng.choice(self._rng.choice(self._strangers).known or [Known("", b"", b"", {})])
        self._unwrap(
            good,
            (bytes(changed), victim.context, "WRAPPED_KEY_REJECTED"),
            (stranger.wrapped, stranger.context, "WRAPPED_KEY_REJECTED"),
            (victim.wrapped, {"another": "context"}, "WRAPPED_KEY_REJECTED"),
            (victim.wrapped, {"": "no key may be empty"}, "INVALID_FIELD"),
        )

    def unwrap_all(self) -> None:
        """Unwrap all that are known."""
        self._unwrap(self.known)

    def _unwrap(self, good: Sequence[Known], *bad: tuple[bytes, Mapping[str, str], str]) -> None:
        given = [*((it.wrapped, it.context) for it in good), *((wrapped, context) for wrapped, context, _ in bad)]
        items = [content_keys.UnwrapContentKeysItem(wrapped=wrapped, context=context) for wrapped, context in given]
        request = content_keys.UnwrapContentKeysRequest(parent=self._own.name, items=items)
        results = self._user.content_keys.UnwrapContentKeys(request, timeout=DEADLINE).results
        due = [*((it.plaintext, it.kek, "") for it in good), *((b"", "", reason) for _, _, reason in bad)]
        assert [(it.plaintext, it.kek, reason_of(it.status)) for it in results] == due, "a wrong answer"

    # What everybody looks at.

    def look_at_keks(self) -> None:
        name = self._rng.choice(self._keks)
        client = self._rng.choice((self._user, self._admin))
        assert client.content_keys.GetKek(content_keys.GetKekRequest(name=name), timeout=DEADLINE).name == name
        page = client.content_keys.ListKeks(
            content_keys.ListKeksRequest(parent=self._own.name, page_size=self._rng.randint(1, 20)), timeout=DEADLINE
        )
        assert page.keks
        assert all(kek.name.startswith(f"{self._own.name}/keks/") for kek in page.keks)

    def look_at_main_keys(self) -> None:
        request = main_keys.ListMainKeysRequest(parent=self._own.name, page_size=10)
        listed = self._admin.main_keys.ListMainKeys(request, timeout=DEADLINE).main_keys
        name = self._rng.choice(listed).name
        assert name.startswith(f"{self._own.name}/mainKeys/")
        assert self._admin.main_keys.GetMainKey(main_keys.GetMainKeyRequest(name=name), timeout=DEADLINE).name == name
        running = rotations.ListRotationsRequest(parent=self._own.name, page_size=10)
        for rotation in self._admin.rotations.ListRotations(running, timeout=DEADLINE).rotations:
            same = self._admin.rotations.GetRotation(rotations.GetRotationRequest(name=rotation.name), timeout=DEADLINE)
            assert rotation.done_count <= same.done_count <= same.total_count
            assert rotation.state != Rotation.DONE or rotation.done_count == rotation.total_count

    def look_at_organizations(self) -> None:
        client = self._rng.choice((self._user, self._admin))
        listed = client.organizations.ListOrganizations(organizations.ListOrganizationsRequest(), timeout=DEADLINE)
        assert [it.name for it in listed.organizations] == [self._own.name]
        request = organizations.GetOrganizationRequest(name=self._own.name)
        assert client.organizations.GetOrganization(request, timeout=DEADLINE).kek_count >= len(self._keks)

    def get_wrapping_key(self) -> None:
        request = main_keys.GetWrappingKeyRequest(parent=self._own.name)
        assert self._admin.main_keys.GetWrappingKey(request, timeout=DEADLINE).remaining_attempts > 0

    # What must be refused.

    def ask_badly(self) -> None:
        """Ask for something that cannot be, and get exactly the refusal that is due."""
        code, reason, call, request = self._rng.choice(self._bad(self._user, self._admin))
        with refused(code, reason):
            call(request, timeout=DEADLINE)

    def _bad(self, user: Client, admin: Client) -> list[tuple[str, str, Callable[..., object], object]]:
        own, foreign, kek = self._own.name, self._foreign.name, self._keks[0]
        wrapped = [content_keys.UnwrapContentKeysItem(wrapped=self.known[0].wrapped)]
        ck, mk = content_keys, main_keys
        malformed = ("INVALID_ARGUMENT", "MALFORMED_NAME")
        invalid = ("INVALID_ARGUMENT", "INVALID_FIELD")
        forbidden = ("PERMISSION_DENIED", "FORBIDDEN")
        not_found = ("NOT_FOUND", "NOT_FOUND")
        generate, unwrap = user.content_keys.GenerateContentKeys, user.content_keys.UnwrapContentKeys
        return [
            (*malformed, user.content_keys.CreateKek, ck.CreateKekRequest(parent="organizations/NO")),
            (*malformed, generate, ck.GenerateContentKeysRequest(kek=f"{own}/keks/7")),
            (*malformed, admin.main_keys.GetMainKey, mk.GetMainKeyRequest(name=kek)),
            (*invalid, user.content_keys.ListKeks, ck.ListKeksRequest(parent=own, page_size=1001)),
            (*invalid, user.content_keys.ListKeks, ck.ListKeksRequest(parent=own, page_token="?")),
            (*invalid, generate, ck.GenerateContentKeysRequest(kek=kek, count=1001)),
            (*invalid, generate, ck.GenerateContentKeysRequest(kek=kek, size_bytes=15)),
            (*invalid, generate, ck.GenerateContentKeysRequest(kek=kek, context={"": "empty"})),
            (*invalid, generate, ck.GenerateContentKeysRequest(kek=kek, context={"long": 8192 * "x"})),
            (*invalid, unwrap, ck.UnwrapContentKeysRequest(parent=own)),
            (*invalid, admin.main_keys.ImportMainKey, mk.ImportMainKeyRequest(parent=own)),
            (*not_found, user.content_keys.GetKek, ck.GetKekRequest(name=f"{own}/keks/{_UNKNOWN}")),
            (*not_found, generate, ck.GenerateContentKeysRequest(kek=f"{own}/keks/{_UNKNOWN}")),
            (*not_found, admin.main_keys.ActivateMainKey, mk.ActivateMainKeyRequest(name=f"{own}/mainKeys/{_UNKNOWN}")),
            (*forbidden, user.content_keys.CreateKek, ck.CreateKekRequest(parent=foreign)),
            (*forbidden, unwrap, ck.UnwrapContentKeysRequest(parent=foreign, items=wrapped)),
            (*forbidden, unwrap, ck.UnwrapContentKeysRequest(parent="organizations/nobody", items=wrapped)),
            (*forbidden, user.main_keys.GetWrappingKey, mk.GetWrappingKeyRequest(parent=own)),
            (*forbidden, admin.content_keys.CreateKek, ck.CreateKekRequest(parent=own)),
            (
                "FAILED_PRECONDITION",
                "ILLEGAL_TRANSITION",
                admin.main_keys.ActivateMainKey,
                mk.ActivateMainKeyRequest(name=f"{own}/mainKeys/common"),
            ),
            (
                "FAILED_PRECONDITION",
                "WRAPPING_KEY_NOT_USABLE",
                admin.main_keys.ImportMainKey,
                mk.ImportMainKeyRequest(
                    parent=own, wrapping_key=f"{own}/wrappingKeys/{_UNKNOWN}", activation=mk.NOW, encrypted_key=b"x"
                ),
            ),
        ]
