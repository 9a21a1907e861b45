"""A PostgreSQL that takes what it is sent, and does not answer any more."""

import time

import pytest

from server.domain.errors import StorageUnavailableError
from server.storage import SqlStorage, migrate
from server.storage.engine import FOR_READING, FOR_WRITING
from tests.support import postgres
from tests.support.service import free_port
from tests.support.wire import wire_to

SOON = 0.3


@pytest.fixture(scope="module")
def over_tcp():
    port = free_port()
    with postgres.running(port) as server:
        yield server, port


@pytest.fixture
def url(over_tcp, monkeypatch):
    server, _ = over_tcp
    monkeypatch.setenv("PGPASSFILE", str(server.password_file))
    return server.new_database()


@pytest.fixture
def behind(over_tcp, url, monkeypatch):
    """A storage behind a wire; it is less patient than usual."""
    _, port = over_tcp
    migrate(url)
    monkeypatch.setattr("server.storage.patience.PatientConnection.patience", SOON)
    monkeypatch.setattr("server.storage.engine.FOR_READING", SOON)
    monkeypatch.setattr("server.storage.engine.FOR_WRITING", SOON)
    with wire_to(port) as wire, SqlStorage.open(url.replace(f":{port}/", f":{wire.port}/")) as storage:
        storage.check()
        yield storage, wire


def test_connections_that_are_lost_without_a_word_are_replaced(behind):
    storage, wire = behind
    with storage.read() as one, storage.read() as other:  # Two connections, which go back to the pool.
        assert one.organizations.find("nobody") is other.organizations.find("nobody") is None
    wire.lose()
    started = time.monotonic()
    storage.check()
    assert time.monotonic() - started >= SOON
    started = time.monotonic()
    storage.check()
    assert time.monotonic() - started < SOON


def test_what_is_under_way_when_the_answers_stop_ends(behind):
    storage, wire = behind
    for transaction in (storage.read, storage.write):
        with pytest.raises(StorageUnavailableError), transaction() as tx:
            tx.organizations.find("nobody")
            wire.lose()
            tx.organizations.find("nobody")


def test_who_writes_waits_for_longer_than_the_server_lets_it_wait_for_a_lock(postgres_server):
    url = postgres_server.new_database()
    with SqlStorage.open(url) as storage:
        for _ in range(2):  # The second time, the connection is one that was used before.
            with storage.connected(writes=False) as connection:
                assert connection.connection.driver_connection.patience == FOR_READING
            with storage.connected(writes=True) as connection:
                assert connection.connection.driver_connection.patience == FOR_WRITING
                limits = ("lock_timeout", "statement_timeout")
                allowed = [connection.exec_driver_sql(f"SHOW {limit}").scalar() for limit in limits]
        assert allowed == ["30s", "30s"]
