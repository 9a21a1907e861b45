"""docs/client.md tells every error of the client, and what it does unless it is told otherwise."""

import inspect

from keystead import client
from keystead.client import CacheLimits, Client, calls, connection

from tests.docs.pages import page, prose, table, words

PAGE = page("docs/client.md")
TEXT = " ".join(prose(PAGE).split())


def test_every_error_is_told_with_what_to_do():
    public = [getattr(client, name) for name in client.__all__]
    errors = {it.__name__ for it in public if issubclass(it, Exception)} - {"KeysteadError"}
    rows = table(PAGE, "Calls", "error")
    assert {words(error)[0] for error, _ in rows} == errors
    assert all(what for _, what in rows)


def test_what_is_done_by_default_is_told():
    limits = CacheLimits()
    assert f"up to {limits.keys} of each organisation for {limits.lifetime / 60:.0f} minutes" in TEXT
    assert limits.watches == 4
    assert "For up to four organisations (`watches`)" in TEXT
    assert f"at most {inspect.signature(Client).parameters['timeout'].default:.0f} seconds" in TEXT
    assert calls._ATTEMPTS == 5
    assert "five times at most" in TEXT
    options = dict(connection._OPTIONS)
    given_up = (options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"]) // 1000
    assert f"given up after {given_up} seconds" in TEXT
