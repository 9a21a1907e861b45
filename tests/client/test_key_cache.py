"""What the client may keep, and until when: the rules alone, by a clock that the test moves."""

import threading
import time

import pytest
from keystead.client import CacheLimits, Item
from keystead.client.key_cache import KeyCache, boot_time

ORG, OTHER = "organizations/acme", "organizations/globex"
ONE, TWO, THREE = (Item(name, {"document": "report"}) for name in (b"one", b"two", b"three"))


class World:
    """A cache whose clock stands still unless it is moved."""

    def __init__(self, **limits) -> None:
        self.now = 1000.0
        self.cache = KeyCache(CacheLimits(**limits), lambda: self.now)

    def active(self, epoch: int = 5, lease: float = 2.0, sent: float | None = None) -> None:
        self.cache.told(ORG, epoch, is_active=True, sent=self.now if sent is None else sent, lease=lease)

    def put(self, *items: Item) -> None:
        ticket = self.cache.ticket(ORG)
        assert self.cache.keep(ticket, {index: b"key " + it.data for index, it in enumerate(items)}, items)

    def has(self, *items: Item) -> list[bool]:
        found = self.cache.take(ORG, items)
        assert all(value in {None, b"key " + it.data} for value, it in zip(found, items, strict=True))
        return [it is not None for it in found]

    def values(self) -> list[bytearray]:
        return [key.value for key in self.cache._known[ORG].keys.values()]


@pytest.fixture
def world() -> World:
    world = World()
    world.cache.enter(ORG)
    world.active()
    world.put(ONE)
    return world


def test_a_kept_key_is_given_out_with_its_own_context_and_organisation_only(world):
    assert world.cache.take(ORG, [ONE, TWO, Item(b"one"), Item(b"one", {"document": "other"})]) == [
        b"key one",
        None,
        None,
        None,
    ]
    assert world.cache.take(OTHER, [ONE]) == [None]


def test_nothing_is_kept_before_there_is_a_lease():
    world = World()
    world.cache.enter(ORG)
    world.put(ONE)
    world.active()
    assert world.has(ONE) == [False]


def test_a_lease_counts_from_the_sending_of_its_request(world):
    world.now += 1.5
    world.active(sent=world.now - 1.0)  # The answer took a second.
    world.now += 0.9
    assert world.has(ONE) == [True]
    world.now += 0.2
    assert world.has(ONE) == [False]


def test_an_answer_that_took_as_long_as_its_lease_renews_nothing(world):
    world.now += 1.9
    world.active(sent=world.now - 1.8)
    world.now += 0.15
    assert world.has(ONE) == [True]
    world.now += 0.1
    assert world.has(ONE) == [False]


def test_at_the_end_of_the_lease_keys_are_overwritten_whoever_sees_it_first(world):
    for look in (world.cache.tidy, lambda: world.has(ONE)):
        world.active()
        world.put(ONE, TWO)
        values = world.values()
        assert values == [b"key one", b"key two"]
        world.now += 2.0
        look()
        assert values == [bytes(7), bytes(7)]
        assert world.values() == []


def test_after_the_end_of_a_lease_a_new_one_brings_nothing_back(world):
    world.now += 2.0
    world.active()
    assert world.has(ONE) == [False]


def test_what_is_pushed_renews_no_lease(world):
    world.now += 1.9
    world.cache.told(ORG, 5, is_active=True)
    assert world.has(ONE) == [True]
    world.now += 0.1
    world.cache.told(ORG, 5, is_active=True)
    assert world.has(ONE) == [False]


@pytest.mark.parametrize("lease", [0.0, 2.0], ids=["pushed", "answered"])
@pytest.mark.parametrize("told", [(6, True), (6, False), (5, False)], ids=str)
def test_another_epoch_or_state_empties_the_cache(world, told, lease):
    epoch, is_active = told
    values = world.values()
    world.cache.told(ORG, epoch, is_active=is_active, sent=world.now, lease=lease)
    assert values == [bytes(7)]
    assert world.has(ONE) == [False]
    # It asks at once what there is now, unless it has just been told.
    assert world.cache.renewal_is_due() == (not lease)


def test_a_locked_organisation_has_no_lease_whatever_was_answered(world):
    world.cache.told(ORG, 6, is_active=False, sent=world.now, lease=2.0)
    world.put(ONE)
    assert world.has(ONE) == [False]


def test_what_is_told_of_an_older_epoch_is_not_believed(world):
    world.cache.told(ORG, 6, is_active=False)
    world.active(epoch=5)
    world.put(ONE)
    assert world.has(ONE) == [False]
    world.active(epoch=7)
    world.put(ONE)
    world.cache.told(ORG, 6, is_active=False)
    assert world.has(ONE) == [True]


def test_an_answer_that_a_change_has_overtaken_is_not_kept(world):
    ticket = world.cache.ticket(ORG)
    world.active(epoch=6)
    # The organisation may work: the answer is good, but it is not known how old it is.
    assert world.cache.keep(ticket, {0: b"key two"}, [TWO])
    assert world.has(TWO) == [False]


def test_an_answer_that_a_lock_has_overtaken_is_told_to_be_old(world):
    ticket = world.cache.ticket(ORG)
    world.cache.told(ORG, 6, is_active=False)
    assert not world.cache.keep(ticket, {0: b"key two"}, [TWO])
    # What is asked after the lock is the service's to answer: it may know of a reactivation first.
    assert world.cache.keep(world.cache.ticket(ORG), {0: b"key two"}, [TWO])
    world.active(epoch=7)
    assert world.has(TWO) == [False]


@pytest.mark.parametrize("event", ["the lease ends", "it is forgotten", "it is distrusted", "a process forks"])
def test_an_answer_is_not_kept_if_meanwhile(world, event):
    ticket, values = world.cache.ticket(ORG), world.values()
    if event == "the lease ends":
        world.now += 2.0
        world.cache.tidy()
    elif event == "it is forgotten":
        world.cache.clear(ORG)
        world.cache.enter(ORG)
    elif event == "it is distrusted":
        world.cache.distrust(ORG)
    else:
        world.cache.clear_in_child()
    assert values == [bytes(7)]
    world.active()
    assert world.cache.keep(ticket, {0: b"key two"}, [TWO])
    assert world.has(ONE, TWO) == [False, False]


def test_the_key_that_was_not_used_for_longest_goes_first():
    world = World(keys=2)
    world.cache.enter(ORG)
    world.active()
    world.put(ONE, TWO)
    assert world.has(ONE) == [True]
    one, two = sorted(world.values())
    world.put(THREE)
    assert world.has(ONE, TWO, THREE) == [True, False, True]
    assert (one, two) == (b"key one", bytes(7))


def test_a_key_is_kept_for_its_lifetime_however_often_it_is_used():
    world = World(lifetime=4.0)
    world.cache.enter(ORG)
    world.active(lease=100)
    world.put(ONE)
    world.now += 3.9
    assert world.has(ONE) == [True]
    world.put(TWO)
    values = world.values()
    world.now += 0.1
    world.cache.tidy()
    assert sorted(values) == [bytes(7), b"key two"]
    assert world.has(ONE, TWO) == [False, True]


def test_an_organisation_whose_keys_nobody_wants_is_forgotten(world):
    world.cache.enter(OTHER)
    for _ in range(31):
        world.active()
        world.now += 1.99
        assert world.cache.tidy() == [ORG, OTHER] if world.now < 1060 else [ORG]
    world.now += 0.01
    assert world.cache.tidy() == []
    assert world.cache.enter(ORG)


def test_it_is_renewed_at_half_of_its_lease(world):
    assert not world.cache.renewal_is_due()
    world.now += 0.99
    assert not world.cache.renewal_is_due()
    assert world.cache.seconds_of_lease() == pytest.approx(1.01)
    world.now += 0.01
    assert world.cache.renewal_is_due()
    world.cache.not_told(ORG, 0.25)
    assert not world.cache.renewal_is_due()
    world.now += 0.25
    assert world.cache.renewal_is_due()


def test_who_waits_is_woken_by_a_change(world):
    woken = threading.Event()
    waiting = threading.Thread(target=lambda: (world.cache.wait(lambda: False), woken.set()))
    waiting.start()
    assert not woken.wait(0.05)
    world.cache.told(ORG, 6, is_active=False)
    assert woken.wait(10)
    waiting.join()


@pytest.mark.parametrize("limits", [{"keys": 0}, {"lifetime": 0.0}, {"watches": -1}])
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(ValueError, match="must be above 0"):
        CacheLimits(**limits)


def test_the_clock_goes_on_while_the_machine_sleeps():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= boot_time() <= time.clock_gettime(time.CLOCK_BOOTTIME)
