"""docs/settings.md lists every setting with its default."""

import json
import os
import tomllib
from datetime import timedelta
from enum import Enum

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from server.people import reading
from server.people.configured import FILE_INTERVAL
from server.people.issuer_keys import KeyTimes
from server.people.terms import ALGORITHMS
from server.settings import HsmSettings, IssuerSettings, PeopleSettings, Settings, SettingsError, load_settings
from tests.docs.pages import blocks, page, prose, table, words

PAGE = page("docs/settings.md")
TEXT = " ".join(prose(PAGE).split())
SECTIONS = {name: field.annotation for name, field in Settings.model_fields.items()} | {
    "people.issuers": IssuerSettings
}


def default_of(section, name: str) -> str:
    """The default as the page writes it."""
    field = section.model_fields[name]
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        assert field.get_default(call_default_factory=True) == (os.cpu_count() or 1)
        return "the number of CPUs"
    if field.default in {None, ()}:
        return "none"
    value = field.default[0] if isinstance(field.default, tuple) else field.default
    if isinstance(value, bool):
        value = str(value).lower()  # As TOML has it.
    if isinstance(value, timedelta):
        value = TypeAdapter(timedelta).dump_python(value, mode="json")
    return f"`{value.value if isinstance(value, Enum) else value}`"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_listed_with_its_default(section):
    rows = table(PAGE, section, "setting")
    told = {words(setting)[0]: default for setting, default, _ in rows}
    assert told == {name: default_of(SECTIONS[section], name) for name in SECTIONS[section].model_fields}
    assert all(meaning for *_, meaning in rows)


def test_the_settings_that_are_shown_can_be_used(tmp_path):
    shown, _ = blocks(PAGE, "toml")
    file = tmp_path / shown.file
    file.write_text(shown.text)
    settings = load_settings(file)
    assert settings.tls.certificate == tmp_path / "pki/server.pem"
    assert settings.database.url.get_secret_value() == f"sqlite:///{tmp_path}/keystead.db"


def test_the_environment_goes_before_the_file(tmp_path, monkeypatch):
    shown, _ = blocks(PAGE, "toml")
    file = tmp_path / shown.file
    file.write_text(shown.text)
    monkeypatch.setenv("KEYSTEAD_SERVER__WORKERS", "4")
    monkeypatch.setenv("KEYSTEAD_DATABASE__URL", "postgresql://keystead@db/keystead")
    settings = load_settings(file)
    assert settings.server.workers == 4
    assert settings.database.url.get_secret_value() == "postgresql://keystead@db/keystead"
    file.write_text(shown.text + "colour = 'red'\n")
    with pytest.raises(SettingsError, match=r"hsm\.colour"):
        load_settings(file)


def test_the_issuer_that_is_shown_can_be_used():
    _, shown = blocks(PAGE, "toml")
    people = PeopleSettings.model_validate(tomllib.loads(shown.text)["people"])
    assert [it.issuer for it in people.issuers] == ["https://login.example.com"]
    assert f"An answer has {reading.SIZE_LIMIT // 1024} KiB and {reading.PATIENCE:.0f} seconds." in TEXT
    assert f"at most every {KeyTimes(1, 1).pause:.0f} seconds" in TEXT
    assert f"every {FILE_INTERVAL.total_seconds():.0f} seconds" in TEXT
    assert ", ".join(ALGORITHMS) in TEXT


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"jwks_file": "keys.json"}, "not both"),
        ({"jwks_url": None}, "set jwks_file or jwks_url"),
        ({"jwks_url": "http://login.example.com/jwks"}, "https"),
        ({"issuer": "login.example.com"}, "https"),
        ({"algorithms": []}, "at least 1"),
        ({"algorithms": ["HS256"]}, "algorithms must be of RS256"),
        ({"algorithms": ["none"]}, "algorithms must be of RS256"),
        ({"audience": ""}, "at least 1"),
    ],
)
def test_an_issuer_that_cannot_be_is_refused(tmp_path, wrong, told):
    shown, example = blocks(PAGE, "toml")
    (issuer,) = tomllib.loads(example.text)["people"]["issuers"]
    issuer = {name: value for name, value in {**issuer, **wrong}.items() if value is not None}
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in issuer.items())
    file = tmp_path / "keystead.toml"
    file.write_text(f"{shown.text}\n[[people.issuers]]\n{lines}")
    with pytest.raises(SettingsError, match=told):
        load_settings(file)


def test_a_port_for_people_needs_an_issuer_and_a_file_of_keys_is_beside_the_settings(tmp_path, monkeypatch):
    shown, _ = blocks(PAGE, "toml")
    file = tmp_path / shown.file
    file.write_text(shown.text)
    monkeypatch.setenv("KEYSTEAD_SERVER__PEOPLE_ADDRESS", "127.0.0.1:7444")
    with pytest.raises(SettingsError, match="nobody could come in"):
        load_settings(file)
    issuer = {"issuer": "https://login.example.com", "audience": "keystead", "jwks_file": "jwks.json"}
    monkeypatch.setenv("KEYSTEAD_PEOPLE__ISSUERS", json.dumps([issuer]))
    assert load_settings(file).people.issuers[0].jwks_file == tmp_path / "jwks.json"
    monkeypatch.setenv("KEYSTEAD_PEOPLE__ISSUERS", json.dumps([issuer, issuer]))
    with pytest.raises(SettingsError, match="named twice"):
        load_settings(file)


def test_the_token_that_is_shown_can_be_set():
    (shown,) = blocks(page("docs/hsm.md"), "toml")
    hsm = HsmSettings.model_validate(tomllib.loads(shown.text)["hsm"])
    assert hsm.token_label is None
