"""docs/settings.md lists every setting with its default."""

import os
import tomllib
from datetime import timedelta
from enum import Enum

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from server.settings import HsmSettings, Settings, SettingsError, load_settings
from tests.docs.pages import blocks, page, table, words

PAGE = page("docs/settings.md")
SECTIONS = {name: field.annotation for name, field in Settings.model_fields.items()}


def default_of(section, name: str) -> str:
    """The default as the page writes it."""
    field = section.model_fields[name]
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        assert field.get_default(call_default_factory=True) == (os.cpu_count() or 1)
        return "the number of CPUs"
    if field.default is None:
        return "none"
    value = field.default
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
    (shown,) = blocks(PAGE, "toml")
    file = tmp_path / shown.file
    file.write_text(shown.text)
    settings = load_settings(file)
    assert settings.tls.certificate == tmp_path / "pki/server.pem"
    assert settings.database.url.get_secret_value() == f"sqlite:///{tmp_path}/keystead.db"


def test_the_environment_goes_before_the_file(tmp_path, monkeypatch):
    (shown,) = blocks(PAGE, "toml")
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


def test_the_token_that_is_shown_can_be_set():
    (shown,) = blocks(page("docs/hsm.md"), "toml")
    hsm = HsmSettings.model_validate(tomllib.loads(shown.text)["hsm"])
    assert hsm.token_label is None
