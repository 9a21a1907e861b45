"""What two callers do at once ends as if one had come after the other."""

from dataclasses import replace

import pytest
from typing_extensions import override

from server.bootstrap import opened
from server.custody.hsm import HsmCustody
from server.domain.errors import WrappingKeyDamagedError, WrappingKeyNotUsableError
from server.domain.ids import WrappingKeyName
from server.domain.intents import ObjectRole
from server.domain.main_keys import State
from server.storage import migrate
from server.use_cases import Import, PageRequest, Upload, use_cases
from server.use_cases.common_key import EnsureCommonKey
from tests.support.crypto import encrypt
from tests.support.lifecycle import ACME, ADMIN, OPERATOR
from tests.support.parts import settings_without_network
from tests.support.token import make_token


@pytest.fixture
def parts(tmp_path, monkeypatch):
    token = make_token(tmp_path)
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    settings = settings_without_network(tmp_path, token.module_path)
    migrate(settings.database.url.get_secret_value())
    with opened(settings) as parts:
        EnsureCommonKey(parts.env, parts.objects)()
        use_cases(parts.env).create_organization(OPERATOR, ACME, "")
        yield parts


def bringing(wrapping_key, value):
    """What brings a main key under a wrapping key."""
    encrypted = encrypt(wrapping_key.public_key, value)
    return Import(Upload(ACME, WrappingKeyName(ACME, wrapping_key.id), encrypted), activate_now=True)


class Interrupted(HsmCustody):
    """Custody in which something happens just before a wrapping key is used; it happens once."""

    def __init__(self, token, meanwhile) -> None:
        super().__init__(token)
        self._meanwhile = [meanwhile]

    def _let_it_happen(self):
        while self._meanwhile:
            self._meanwhile.pop()()

    @override
    def check_wrapping_key(self, object_id, public_key):
        self._let_it_happen()
        super().check_wrapping_key(object_id, public_key)

    @override
    def examine_main_key(self, wrapping_key, encrypted):
        self._let_it_happen()
        return super().examine_main_key(wrapping_key, encrypted)


def asked_for_while(parts, meanwhile):
    """Ask for a wrapping key; when its row has been read, let something happen."""
    custody = Interrupted(parts.custody._token, meanwhile)
    return use_cases(replace(parts.env, custody=custody)).get_wrapping_key(ADMIN, ACME, None)


def test_a_wrapping_key_that_is_used_up_while_it_is_asked_for_is_followed_by_another(parts):
    do = use_cases(parts.env)
    first = do.get_wrapping_key(ADMIN, ACME, None)
    second = asked_for_while(parts, lambda: do.import_main_key(ADMIN, bringing(first, b"k" * 32)))
    assert second.id != first.id
    assert do.get_wrapping_key(ADMIN, ACME, None) == second


def test_a_wrapping_key_that_the_token_has_lost_is_still_told(parts):
    do = use_cases(parts.env)
    first = do.get_wrapping_key(ADMIN, ACME, None)
    with pytest.raises(WrappingKeyDamagedError):
        asked_for_while(parts, lambda: parts.custody.destroy(ObjectRole.WRAPPING_KEY, first.id))


def test_of_two_uploads_under_one_wrapping_key_one_is_taken_and_the_other_is_told_why_not(parts):
    do = use_cases(parts.env)
    key = do.get_wrapping_key(ADMIN, ACME, None)
    custody = Interrupted(parts.custody._token, lambda: do.import_main_key(ADMIN, bringing(key, b"k" * 32)))
    with pytest.raises(WrappingKeyNotUsableError):
        use_cases(replace(parts.env, custody=custody)).import_main_key(ADMIN, bringing(key, b"l" * 32))
    views = do.list_main_keys(ADMIN, ACME, PageRequest(0, ""), show_removed=True).items
    assert sorted(view.key.state for view in views) == [State.ACTIVE, State.ROTATING]
