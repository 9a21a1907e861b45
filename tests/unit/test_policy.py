"""The policy file is read anew when it changes, and nobody goes by the old one after that."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from server.domain.roles import Role
from server.grpc_api.policy import Policy

GRANT = '[[grants]]\nidentity = "spiffe://test/{name}"\nrole = "service"\norganizations = ["acme"]\n'


class SlowPolicy(Policy):
    """Takes as long to read the file as a test wants."""

    def __init__(self, path) -> None:
        self.reading, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        super().__init__(path)

    def _read(self):
        self.reading.set()
        assert self.may_end.wait(30)
        return super()._read()


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(GRANT.format(name="first"))
    return file


def test_callers_that_come_while_the_file_is_read_wait_for_what_it_says(file):
    policy = SlowPolicy(file)
    policy.reading.clear()
    policy.may_end.clear()
    file.write_text(GRANT.format(name="second"))
    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(policy.caller, "spiffe://test/second")
        assert policy.reading.wait(30)
        others = [pool.submit(policy.caller, f"spiffe://test/{name}") for name in ("first", "second")]
        # Time for a wrong answer; the right one cannot come yet.
        wait(others, timeout=0.2)
        policy.may_end.set()
        first, second = (other.result() for other in others)
    assert [grant.role for grant in reader.result().grants] == [Role.SERVICE]
    assert [grant.role for grant in second.grants] == [Role.SERVICE]
    assert first.grants == ()


def test_a_file_that_cannot_be_read_leaves_the_last_good_one_in_force_and_is_tried_once(file):
    policy = SlowPolicy(file)
    file.write_text("grants = 1")
    assert policy.caller("spiffe://test/first").grants
    policy.reading.clear()
    assert policy.caller("spiffe://test/first").grants
    assert not policy.reading.is_set()
