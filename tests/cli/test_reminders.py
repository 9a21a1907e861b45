"""What must not be overlooked: one line on standard error, beside whatever was asked for."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.inventory import destroy
from tests.support.rows import rows_of

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


@pytest.fixture
def rows(service):
    with rows_of(f"sqlite:///{service.folder}/keystead.db") as rows:
        yield rows


@pytest.fixture
def grow_old(rows):
    """Return a function that makes a main key look as if it had been put in charge so long ago, until the test ends."""
    aged = set()

    def change(key: str, age: timedelta) -> None:
        then = round((datetime.now(UTC) - age).timestamp() * 1e6)
        rows.change("UPDATE main_keys SET activate_time = :then WHERE id = :id", then=then, id=key)
        aged.add(key)

    yield change
    # Operators see the organisations of all tests.
    for key in aged:
        change(key, timedelta(0))


def test_an_overdue_rotation_is_told_wherever_the_key_is_seen(admin, org, grow_old):
    key = org.bring().name.rpartition("/")[2]
    looks = (
        ("organizations", "get", org.id),
        ("organizations", "list"),
        ("main-keys", "get", org.id, key),
        ("main-keys", "list", org.id),
    )
    grow_old(key, 364 * DAY)
    for words in looks:
        assert admin.keystead(*words).stderr == ""
    grow_old(key, 366 * DAY)
    for words in looks:
        (line,) = admin.keystead(*words).stderr.splitlines()
        assert line.startswith(f"keystead: ROTATION OVERDUE: {org.id}")
        assert "A main key should be replaced once a year" in line
        # Programs have the time itself.
        assert admin.keystead(*words, "--json").stderr == ""
    due = admin.json("organizations", "get", org.id)["rotation_due_time"]
    assert datetime.fromisoformat(due) < datetime.now(UTC)
    # A key that is not in charge is not due.
    org.bring()
    assert admin.keystead("main-keys", "get", org.id, key).stderr == ""
    assert admin.keystead("organizations", "get", org.id).stderr == ""


def test_of_many_only_some_are_named(person, service, grow_old):
    orgs = [service.new_organization("overdue") for _ in range(4)]
    for org in orgs:
        grow_old(org.bring().name.rpartition("/")[2], 400 * DAY)
    (line,) = person("operator").keystead("organizations", "list").stderr.splitlines()
    assert line.count("(since ") == 3
    assert " and 1 more. " in line


def test_a_main_key_that_is_missing_in_the_hsm_is_told(admin, operator, service, org):
    key = org.bring().name
    assert admin.keystead("main-keys", "list", org.id).stderr == ""
    destroy(service.folder / "token", key.rpartition("/")[2])
    operator.keystead("hsm", "reconcile", "--config", service.config, status=1, prints=True)
    for words in (("main-keys", "list", org.id), ("main-keys", "get", org.id, key)):
        (line,) = admin.keystead(*words).stderr.splitlines()
        assert line.startswith(f"keystead: MISSING IN THE HSM: {org.id} {key.rpartition('/')[2]} (since ")
        assert line.endswith("The operator must restore the token from its backup.")
    assert "missing_time" in admin.json("main-keys", "get", org.id, key)
