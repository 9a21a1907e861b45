"""The keystead command."""

import gc
import os
import sys
from io import TextIOWrapper

_SERVICE = {"serve", "prepare", "worker", "steward"}
"""Commands that run the service, or a process of it."""


def main() -> None:
    """Run the command line."""
    # What is loaded stays. Python's collector of cycles would look at it again and again, for a sixth of the time that
    # it takes to load it. The service's commands enable the collector when they have loaded what they need.
    gc.disable()
    if _SERVICE.intersection(sys.argv[1:2]):
        from server.commands import app  # noqa: PLC0415 - the client's commands are not loaded: the start is quick
    else:
        # gRPC would write its own lines between ours; only the service has a log for them. It reads this when it is
        # loaded, hence the imports below.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from server import commands  # noqa: PLC0415 - see above
        from server.cli import app  # noqa: PLC0415 - likewise

        commands.add_to(app)
        gc.freeze()
        gc.enable()
    if isinstance(sys.stdout, TextIOWrapper):
        # No name of a file or an organization may end a command for want of an encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except UnicodeEncodeError:
        sys.stderr.write("keystead: Names, ids and contexts must be UTF-8.\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
