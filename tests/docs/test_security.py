"""docs/security.md shows the roles as they are, and names only what exists."""

import re

from hsm_adapter.constants import Attribute, Mechanism
from server.domain.errors import ForbiddenError, NoIdentityError
from server.domain.roles import ALLOWED, UNBOUND_ROLES, Operation, Role
from tests.docs.errors import REASONS
from tests.docs.matrix import MATRIX, PAGE
from tests.docs.pages import page, prose, table, words

TEXT = " ".join(prose(PAGE).split())


def test_the_matrix_is_that_of_the_code():
    assert MATRIX in PAGE.read_text(), "Run python -m tests.docs.matrix, and commit what it writes"
    rows = {words(first)[0]: cells for first, *cells in table(PAGE, "Roles", "rpc")}
    assert list(rows) == list(Operation)
    for name, (*cells, anybody_else) in rows.items():
        told = {role for role, cell in zip(Role, cells, strict=True) if cell == "yes"}
        assert told == ALLOWED[Operation(name)]
        assert anybody_else == ""


def test_what_is_said_of_roles_holds():
    assert {Role.OPERATOR, Role.CONSOLE} == UNBOUND_ROLES
    assert ForbiddenError.reason in TEXT
    assert NoIdentityError.reason in TEXT
    named = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", TEXT))
    pkcs11 = {f"CKA_{it.name}" for it in Attribute} | {f"CKM_{it.name}" for it in Mechanism}
    assert named <= REASONS | pkcs11


def test_whoever_finds_a_hole_is_told_what_to_do():
    report = page("SECURITY.md").read_text()
    assert "[docs/security.md](docs/security.md)" in report
    assert "not in a public issue" in " ".join(report.split())
