"""A storage with the present schema."""

import pytest

from server.storage import SqlStorage, migrate


@pytest.fixture
def storage(database_url):
    migrate(database_url)
    with SqlStorage.open(database_url) as storage:
        yield storage
