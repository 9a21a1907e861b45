"""What is asked of every file of ours, and of some tables."""

import ast
from itertools import pairwise

import pytest

from hsm_adapter.constants import Rv
from hsm_adapter.library import CryptokiError
from hsm_adapter.return_values import FAULTS, Fault, fault_of
from tests.support.token import ROOT

LIMIT = 400
"""Lines of a file. The house says 300; beyond this one it is no question of taste any more."""

OUR_OWN_FAULT = {
    # We asked for what may not be asked: repeating it helps nobody, and the caller is not to blame.
    Rv.ACTION_PROHIBITED,
    Rv.ARGUMENTS_BAD,
    Rv.ATTRIBUTE_READ_ONLY,
    Rv.ATTRIBUTE_SENSITIVE,
    Rv.ATTRIBUTE_TYPE_INVALID,
    Rv.ATTRIBUTE_VALUE_INVALID,
    Rv.FUNCTION_NOT_SUPPORTED,
    Rv.FUNCTION_REJECTED,
    Rv.INFORMATION_SENSITIVE,
    Rv.KEY_FUNCTION_NOT_PERMITTED,
    Rv.KEY_NOT_WRAPPABLE,
    Rv.KEY_TYPE_INCONSISTENT,
    Rv.KEY_UNEXTRACTABLE,
    Rv.MECHANISM_INVALID,
    Rv.MECHANISM_PARAM_INVALID,
    Rv.TEMPLATE_INCOMPLETE,
    Rv.TEMPLATE_INCONSISTENT,
    Rv.UNWRAPPING_KEY_SIZE_RANGE,
    Rv.UNWRAPPING_KEY_TYPE_INCONSISTENT,
    Rv.WRAPPING_KEY_SIZE_RANGE,
    Rv.WRAPPING_KEY_TYPE_INCONSISTENT,
    # How we use the library is our own affair.
    Rv.CANT_LOCK,
    Rv.SESSION_EXISTS,
}
NO_FAULT = {
    # The binding or the sessions take these for what they are; they never reach the table.
    Rv.OK,
    Rv.USER_ALREADY_LOGGED_IN,
    Rv.CRYPTOKI_ALREADY_INITIALIZED,
}


@pytest.mark.parametrize("folder", ["server", "hsm_adapter", "proto/keystead/client", "scripts", "tests/support"])
def test_every_file_can_be_read_in_one_go(folder):
    lengths = {str(file): len(file.read_text().splitlines()) for file in (ROOT / folder).rglob("*.py")}
    assert lengths
    assert {file: lines for file, lines in lengths.items() if lines > LIMIT} == {}


def test_every_setting_is_told():
    silent = []
    for section in ast.parse((ROOT / "server/settings.py").read_text()).body:
        if isinstance(section, ast.ClassDef) and section.name.endswith("Settings") and section.name != "Settings":
            for field, after in pairwise([*section.body, ast.Pass()]):
                told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if isinstance(field, ast.AnnAssign) and not told:
                    silent.append(f"{section.name}.{ast.unparse(field.target)}")
    assert silent == []


def test_every_return_value_of_pkcs11_has_a_meaning_on_purpose():
    assert set(Rv) == set(FAULTS) | OUR_OWN_FAULT | NO_FAULT
    assert not set(FAULTS) & (OUR_OWN_FAULT | NO_FAULT)
    for rv in OUR_OWN_FAULT:
        assert fault_of(CryptokiError("C_Unwrap", rv)) is Fault.POLICY


@pytest.mark.parametrize("rv", [0x80000001, 0x1FF])
def test_a_return_value_that_nobody_knows_is_the_tokens_fault(rv):
    assert fault_of(CryptokiError("C_Unwrap", rv)) is Fault.TOKEN
