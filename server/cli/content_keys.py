"""keystead content-keys: content keys are read from and written to files, never to the terminal."""

from pathlib import Path
from typing import Annotated

import typer
from google.rpc.status_pb2 import Status
from keystead.v1 import content_key_service_pb2 as messages
from keystead.v1.content_key_service_pb2_grpc import ContentKeyServiceStub

from server.cli import files
from server.cli.checksums import crc32c, demand_intact, demand_verified
from server.cli.connection import TIMEOUT, connected
from server.cli.failures import fail, refusal_of_item
from server.cli.names import Organization, child_name, organization_name
from server.cli.output import AsJson, print_json, say

app = typer.Typer(no_args_is_help=True, help="Content keys: in clear only for the calling service.")

KekId = Annotated[str, typer.Argument(metavar="KEK", help="The KEK's id or name.", show_default=False)]
Context = Annotated[
    list[str], typer.Option(metavar="KEY=VALUE", help="What it is for; needed again to unwrap. May be repeated.")
]


def _context(pairs: list[str]) -> dict[str, str]:
    context: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key or key in context:
            fail(f"--context {pair}: it must be KEY=VALUE, each KEY once.")
        context[key] = value
    return context


def _demand_good(status: Status, *, as_json: bool) -> None:
    if status.code:
        refusal_of_item(status).end(as_json=as_json)


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
    outputs = (out, files.SECRET), (wrapped_out, files.PUBLIC)
    with files.new_files(*outputs) as new, connected(as_json=as_json) as channel:
        (key,) = ContentKeyServiceStub(channel).GenerateContentKeys(request, timeout=TIMEOUT).content_keys
        demand_intact(key, "plaintext", "wrapped")
        new.write(wrapped_out, key.wrapped)
        new.write(out, key.plaintext)
    if as_json:
        print_json({"content_key": str(out), "wrapped": str(wrapped_out)})
        return
    say(f"{out}: the content key ({size} bytes), readable by you alone")
    say(f"{wrapped_out}: the same, wrapped ({len(key.wrapped)} bytes)")


@app.command()
def wrap(
    organization: Organization,
    kek: KekId,
    content_key: Annotated[
        Path, typer.Argument(metavar="CONTENT_KEY", help="The file of the content key, in clear.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The wrapped content key.")] = Path("content_key.wrapped"),
    context: Context = [],
    as_json: AsJson = False,
) -> None:
    """Wrap a content key that you have."""
    plaintext = files.read(content_key)
    item = messages.WrapContentKeysItem(
        plaintext=plaintext, plaintext_crc32c=crc32c(plaintext), context=_context(context)
    )
    request = messages.WrapContentKeysRequest(kek=child_name(organization, "keks", kek), items=[item])
    with files.new_files((out, files.PUBLIC)) as new, connected(as_json=as_json) as channel:
        (result,) = ContentKeyServiceStub(channel).WrapContentKeys(request, timeout=TIMEOUT).results
        _demand_good(result.status, as_json=as_json)
        demand_verified(verified=result.verified_plaintext_crc32c)
        demand_intact(result, "wrapped")
        new.write(out, result.wrapped)
    if as_json:
        print_json({"wrapped": str(out)})
    else:
        say(f"{out}: the wrapped content key ({len(result.wrapped)} bytes)")


@app.command()
def unwrap(
    organization: Organization,
    wrapped: Annotated[
        Path, typer.Argument(metavar="WRAPPED", help="The file of the wrapped content key.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The content key, in clear.")] = Path("content_key.bin"),
    context: Context = [],
    as_json: AsJson = False,
) -> None:
    """Unwrap a content key."""
    sealed = files.read(wrapped)
    item = messages.UnwrapContentKeysItem(wrapped=sealed, wrapped_crc32c=crc32c(sealed), context=_context(context))
    request = messages.UnwrapContentKeysRequest(parent=organization_name(organization), items=[item])
    with files.new_files((out, files.SECRET)) as new, connected(as_json=as_json) as channel:
        (result,) = ContentKeyServiceStub(channel).UnwrapContentKeys(request, timeout=TIMEOUT).results
        _demand_good(result.status, as_json=as_json)
        demand_verified(verified=result.verified_wrapped_crc32c)
        demand_intact(result, "plaintext")
        new.write(out, result.plaintext)
    if as_json:
        print_json({"content_key": str(out), "kek": result.kek})
    else:
        say(f"{out}: the content key ({len(result.plaintext)} bytes), readable by you alone; it was under {result.kek}")


@app.command()
def rewrap(
    organization: Organization,
    wrapped: Annotated[
        Path, typer.Argument(metavar="WRAPPED", help="The file of the wrapped content key.", show_default=False)
    ],
    kek: Annotated[
        str | None, typer.Option(help="Id or name of the KEK to wrap it under; default: the one that it is under.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The content key, wrapped anew.")] = Path("content_key.rewrapped"),
    context: Context = [],
    as_json: AsJson = False,
) -> None:
    """Wrap a content key anew, without having it in clear.

    The context stays as it was.
    """
    sealed = files.read(wrapped)
    item = messages.RewrapContentKeysItem(wrapped=sealed, wrapped_crc32c=crc32c(sealed), context=_context(context))
    request = messages.RewrapContentKeysRequest(parent=organization_name(organization), items=[item])
    if kek is not None:
        request.kek = child_name(organization, "keks", kek)
    with files.new_files((out, files.PUBLIC)) as new, connected(as_json=as_json) as channel:
        (result,) = ContentKeyServiceStub(channel).RewrapContentKeys(request, timeout=TIMEOUT).results
        _demand_good(result.status, as_json=as_json)
        demand_verified(verified=result.verified_wrapped_crc32c)
        demand_intact(result, "wrapped")
        new.write(out, result.wrapped)
    if as_json:
        print_json({"wrapped": str(out), "kek": result.kek})
    else:
        say(f"{out}: the wrapped content key ({len(result.wrapped)} bytes), under {result.kek}")
