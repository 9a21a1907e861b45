"""What a service that lies could do to a terminal: nothing."""

import json

import pytest
from keystead.v1.resources_pb2 import Organization

from server.cli import output
from server.cli.text import printable

HOSTILE = "a\x1b[31m\r\n\x07\x9b2J\u202egnp.exe"


@pytest.fixture
def hostile() -> Organization:
    return Organization(name=f"organizations/{HOSTILE}", display_name=HOSTILE)


def steers(text: str) -> list[str]:
    return [it for it in text if not it.isprintable() and it != "\n"]


def test_a_message_cannot_steer_a_terminal(hostile, capsys):
    output.show(hostile, as_json=False)
    shown = capsys.readouterr().out
    assert not steers(shown)
    assert len(shown.splitlines()) == len(output.plain(hostile))
    assert "a\\x1b[31m\\r\\n\\x07\\x9b2J\\u202egnp.exe" in shown


def test_a_table_cannot_steer_a_terminal(hostile, capsys):
    output.show_page("organizations", [hostile, hostile], ("name", "display_name", "epoch"), as_json=False)
    shown = capsys.readouterr().out
    assert not steers(shown)
    assert len(shown.splitlines()) == 3


def test_json_has_it_as_it_is_and_cannot_steer_either(hostile, capsys):
    output.show(hostile, as_json=True)
    shown = capsys.readouterr().out
    assert not steers(shown)
    assert json.loads(shown)["display_name"] == HOSTILE


def test_a_name_in_another_script_is_left_as_it_is():
    assert printable("Grün & Co, 株式会社") == "Grün & Co, 株式会社"
