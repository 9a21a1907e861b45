"""keystead content-keys: content keys are read from and written to files, never to the terminal."""

from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from keystead.v1 import content_key_service_pb2 as messages
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceStub

from server.cli import files
from server.cli.connection import TIMEOUT, connected, fail
from server.cli.names import Organization, child_name, organization_name
from server.cli.output import AsJson, print_json, say

app = typer.Typer(no_args_is_help=True, help="Keys that encrypt content, in clear only for the calling service.")

KekId = Annotated[str, typer.Argument(help="The KEK's id or name.", show_default=False)]
Context = Annotated[list[str], typer.Option(help="KEY=VALUE, may be repeated; needed again to unwrap.")]


def _context(pairs: list[str]) -> dict[str, str]:
    context: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key or key in context:
            fail(f"--context {pair}: it must be KEY=VALUE, each KEY once.", 2)
        context[key] = value
    return context


def _demand_good(status: Status) -> None:
    if status.code != Code.OK:
        fail(f"{status.message}\n  code: {grpc_name(status.code)}")


def grpc_name(code: int) -> str:
    """Return the name of a status code."""
    return next(known.name for known in grpc.StatusCode if known.value[0] == code)


@app.command()
def generate(
    organization: Organization,
    kek: KekId,
    out: Annotated[Path, typer.Option(help="The new content key, in clear.")] = Path("content_key.bin"),
    wrapped_out: Annotated[Path, typer.Option(help="The same, wrapped: keep it beside the content.")] = Path(
        "content_key.wrapped"
    ),
    size: Annotated[int, typer.Option(min=16, max=64, help="Bytes.")] = 32,
    context: Context = [],
    as_json: AsJson = False,
) -> None:
    """Make a content key."""
    request = messages.GenerateContentKeysRequest(
        kek=child_name(organization, "keks", kek), count=1, size_bytes=size, context=_context(context)
    )
    files.demand_new(out, wrapped_out)
    with connected(as_json=as_json) as channel:
        (key,) = ContentKeyServiceStub(channel).GenerateContentKeys(request, timeout=TIMEOUT).content_keys
    files.write_new(wrapped_out, key.wrapped, files.PUBLIC)
    files.write_new(out, key.plaintext, files.SECRET)
    if as_json:
        print_json({"content_key": str(out), "wrapped": str(wrapped_out)})
        return
    say(f"{out}: the content key ({size} bytes), readable by you alone")
    say(f"{wrapped_out}: the same, wrapped ({len(key.wrapped)} bytes)")


@app.command()
def wrap(
    organization: Organization,
    kek: KekId,
    content_key: Annotated[Path, typer.Argument(help="The content key, in clear.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The wrapped content key.")] = Path("content_key.wrapped"),
    context: Context = [],
    as_json: AsJson = False,
) -> None:
    """Wrap a content key that you have."""
    item = messages.WrapContentKeysItem(plaintext=files.read(content_key), context=_context(context))
    request = messages.WrapContentKeysRequest(kek=child_name(organization, "keks", kek), items=[item])
    files.demand_new(out)
    with connected(as_json=as_json) as channel:
        (result,) = ContentKeyServiceStub(channel).WrapContentKeys(request, timeout=TIMEOUT).results
    _demand_good(result.status)
    files.write_new(out, result.wrapped, files.PUBLIC)
    if as_json:
        print_json({"wrapped": str(out)})
    else:
        say(f"{out}: the wrapped content key ({len(result.wrapped)} bytes)")


@app.command()
def unwrap(
    organization: Organization,
    wrapped: Annotated[Path, typer.Argument(help="The wrapped content key.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The content key, in clear.")] = Path("content_key.bin"),
    context: Context = [],
    as_json: AsJson = False,
) -> None:
    """Unwrap a content key."""
    item = messages.UnwrapContentKeysItem(wrapped=files.read(wrapped), context=_context(context))
    request = messages.UnwrapContentKeysRequest(parent=organization_name(organization), items=[item])
    files.demand_new(out)
    with connected(as_json=as_json) as channel:
        (result,) = ContentKeyServiceStub(channel).UnwrapContentKeys(request, timeout=TIMEOUT).results
    _demand_good(result.status)
    files.write_new(out, result.plaintext, files.SECRET)
    if as_json:
        print_json({"content_key": str(out), "kek": result.kek})
    else:
        say(f"{out}: the content key ({len(result.plaintext)} bytes), readable by you alone; it was under {result.kek}")
