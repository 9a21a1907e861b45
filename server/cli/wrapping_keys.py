"""keystead wrapping-keys."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from keystead.v1 import main_key_service_pb2 as messages
from keystead.v1.main_key_service_pb2_grpc import MainKeyServiceStub
from keystead.v1.resources_pb2 import WrappingKey

from server.cli import files
from server.cli.connection import TIMEOUT, connected
from server.cli.names import Organization, organization_name
from server.cli.output import AsJson, plain, print_json, say

app = typer.Typer(no_args_is_help=True, help="The HSM's public keys: main keys are encrypted under them.")


_NAME_IN_COMMANDS = "public.pem"


class Bits(StrEnum):
    """Sizes of the modulus."""

    B3072 = "3072"
    B4096 = "4096"


@app.command()
def download(
    organization: Organization,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("public.pem"),
    bits: Annotated[Bits | None, typer.Option(help="Modulus; default: as the service has it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Get the public key to encrypt a main key under.

    And, on the terminal, the OpenSSL commands to do it with.
    """
    algorithm = f"RSA_OAEP_{bits}_SHA256" if bits else "ALGORITHM_UNSPECIFIED"
    request = messages.GetWrappingKeyRequest(
        parent=organization_name(organization), algorithm=WrappingKey.Algorithm.Value(algorithm)
    )
    with files.new_files((out, files.PUBLIC)) as new, connected(as_json=as_json) as channel:
        key = MainKeyServiceStub(channel).GetWrappingKey(request, timeout=TIMEOUT)
        new.write(out, key.public_key_pem.encode())
    if as_json:
        print_json({**plain(key), "file": str(out)})
        return
    say(f"{out}: {key.name}")
    say(f"SHA-256 of the public key, to compare over a second channel: {key.public_key_sha256.hex()}")
    say(f"Good for one upload ({key.remaining_attempts} attempts) until {key.expire_time.ToJsonString()}.")
    say("\nNow make a main key, encrypt it, and note its fingerprint; best in a folder of its own, since an older")
    say("main_key.bin would be overwritten:")
    for command in key.openssl_commands:
        say("  " + command.replace(_NAME_IN_COMMANDS, shlex.quote(str(out))))
    say(f"Then upload it: keystead main-keys import {organization} main_key_encrypted.bin")
