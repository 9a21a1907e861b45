"""Hearing of changes: the same on every database, save that only SQLite can say that there was none."""

import threading
from dataclasses import replace

import pytest

from server.domain.errors import StorageUnavailableError
from server.storage import SqlStorage, migrate
from tests.support.factories import ACME, main_key, put

LONG = 30.0
"""Seconds: a notice that comes sooner was heard."""


@pytest.fixture
def storage(database_url):
    migrate(database_url)
    with SqlStorage.open(database_url) as storage:
        put(storage, main_key())
        yield storage


def change(storage):
    with storage.write() as tx:
        it = tx.organizations.lock(ACME)
        tx.organizations.update(replace(it, epoch=it.epoch + 1))


def test_a_change_of_an_organisation_is_heard_by_who_waits(storage, database_url):
    heard = threading.Event()
    with SqlStorage.open(database_url) as other, other.changes() as changes:

        def listen():
            changes.wait(LONG)
            heard.set()

        listener = threading.Thread(target=listen)
        listener.start()
        assert not heard.wait(0.2)
        change(storage)
        assert heard.wait(LONG / 3)
        listener.join()


def test_a_change_that_came_before_the_wait_is_not_missed(storage, database_url):
    heard = threading.Event()
    with SqlStorage.open(database_url) as other, other.changes() as changes:
        change(storage)
        listener = threading.Thread(target=lambda: changes.wait(LONG) and heard.set())
        listener.start()
        assert heard.wait(LONG / 3)
        listener.join()


def test_a_change_that_is_taken_back_is_not_heard(storage, database_url):
    with SqlStorage.open(database_url) as other, other.changes() as changes:
        with pytest.raises(LookupError), storage.write() as tx:
            tx.organizations.update(replace(tx.organizations.lock(ACME), epoch=7))
            raise LookupError
        heard = changes.wait(0.1)
        assert heard is (not database_url.startswith("sqlite"))  # There, silence proves nothing.


def test_who_listens_is_told_when_the_database_is_gone(postgres_server):
    url = postgres_server.new_database()
    migrate(url)
    with SqlStorage.open(url) as storage, pytest.raises(StorageUnavailableError), storage.changes() as changes:
        with storage.connected(writes=True) as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        for _ in range(3):
            changes.wait(LONG)
