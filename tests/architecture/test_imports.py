"""Who imports whom: the contracts in pyproject.toml hold, and each of them bites."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.token import ROOT

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

# Where it is planted, what is planted, and the contract that must break.
PLANTED = [
    ("server/domain/ids.py", "import server.use_cases.views", "inwards"),
    ("server/use_cases/views.py", "import server.storage.tables", "inwards"),
    ("server/custody/hsm.py", "import server.storage.tables", "inwards"),
    ("server/observability/logging.py", "import server.settings", "inwards"),
    ("server/cli/names.py", "import server.domain.ids", "inwards"),
    ("server/new_part.py", "", "inwards"),
    ("server/processes.py", "import server.cli.names", "cli"),
    ("server/commands.py", "import server.storage", "all"),
    ("hsm_adapter/token.py", "import server.domain.ids", "adapter"),
    ("hsm_adapter/token.py", "import grpc", "adapter"),
    ("server/storage/keks.py", "import hsm_adapter", "hsm"),
    ("server/custody/hsm.py", "import hsm_adapter.sessions", "pkcs11"),
    ("server/use_cases/views.py", "import grpc", "contract"),
    ("server/custody/hsm.py", "import google.rpc.code_pb2", "contract"),
    ("server/steward/loop.py", "import keystead.v1.resources_pb2", "contract"),
    ("server/grpc_api/interceptors.py", "import prometheus_client", "observers"),
    ("hsm_adapter/cryptoki.py", "import opentelemetry.trace", "observers"),
    ("server/people/person.py", "import server.grpc_api.policy", "inwards"),
    ("server/grpc_api/callers.py", "import joserfc.jwt", "jose"),
    ("proto/keystead/client/calls.py", "import server.domain.ids", "client"),
    ("proto/keystead/client/calls.py", "import hsm_adapter", "client"),
    ("server/cli/names.py", "import keystead.client", "own"),
    ("proto/keystead/v1/__init__.py", "import keystead.client.errors", "own"),
    ("server/domain/ids.py", "import sqlalchemy", "sql"),
    ("server/bootstrap.py", "import alembic", "sql"),
    ("hsm_adapter/token.py", "import ctypes", "ctypes"),
    ("server/custody/hsm.py", "import ctypes", "ctypes"),
]


def _lint_imports(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'proto'}", "COLUMNS": "200"}
    command = [LINT_IMPORTS, "--no-cache", "--no-logo", *options]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_every_contract_is_kept():
    done = _lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(("file", "line", "contract"), PLANTED)
def test_a_forbidden_import_is_found(tmp_path, file, line, contract):
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("server", "hsm_adapter", "proto"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as source:
        source.write(f"\n{line}\n")
    done = _lint_imports(tmp_path, "--contract", contract)
    assert done.returncode == 1, done.stdout
    assert "1 broken" in done.stdout


@pytest.mark.parametrize(
    ("room", "others"),
    [
        ("server/domain", {"server"}),
        ("server/use_cases", {"server"}),
        # What a service that calls Keystead has to install.
        ("proto/keystead/client", {"keystead", "grpc", "google", "google_crc32c"}),
    ],
)
def test_what_stands_alone_needs_the_standard_library_and_little_else(room, others):
    for file in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: a relative import"
                modules = [node.module]
            else:
                continue
            foreign = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - others
            assert not foreign, f"{file} imports {foreign}"
