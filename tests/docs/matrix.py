"""The matrix of roles, as docs/security.md shows it: made from the table that the service goes by.

`python -m tests.docs.matrix` writes it into the page.
"""

from server.domain.roles import ALLOWED, Operation, Role
from tests.docs.pages import page

PAGE = page("docs/security.md")
HEAD = f"| rpc | {' | '.join(Role)} | anybody else |"
ROWS = tuple(
    f"| `{operation}` | {' | '.join('yes' if role in ALLOWED[operation] else '' for role in Role)} | |".replace(
        "  ", " "
    )
    for operation in Operation
)
MATRIX = "\n".join((HEAD, "|---" * (len(Role) + 2) + "|", *ROWS))


def main() -> None:
    """Write it in place of the one that is there."""
    before, _, rest = PAGE.read_text().partition("| rpc |")
    after = rest[rest.index("\n\n") :]
    PAGE.write_text(before + MATRIX + after)


if __name__ == "__main__":
    main()
