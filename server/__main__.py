"""The keystead command."""

from server import commands
from server.cli import app

commands.add_to(app)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
