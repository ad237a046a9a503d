"""Guards on how the code is kept: small modules, one line that says what each owns."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for folder in ("pipelines", "dags", "plugins", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
LONGEST = 350
FORBIDDEN = ("manager", "handler", "helper", "utils", "misc", "processor", "common", "info")
"""Parts of names that say nothing."""


@cache
def parsed(text: str) -> ast.Module:
    """Return the tree of a module's text, which every guard reads."""
    return ast.parse(text)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_in_one_line_what_it_owns(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    first_line = (ast.get_docstring(parsed(text)) or "").split("\n", 1)[0]
    assert first_line.endswith(".") or first_line.endswith("?") or ":" in first_line


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_of_ours_says_nothing(path: Path) -> None:
    names = {
        node.name.lower()
        for node in ast.walk(parsed(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    } | {path.stem}
    assert not {name for name in names if set(name.strip("_").split("_")) & set(FORBIDDEN)}


PACKAGE = ROOT / "pipelines"

IMPORTERS = {
    "deltalake": {
        "adapters/delta/delta_commits.py",
        "adapters/delta/delta_handles.py",
        "adapters/delta/delta_tables.py",
        "adapters/delta/delta_transactions.py",
        "adapters/delta/foreign_tables.py",
        "adapters/delta/live_files.py",
        "adapters/delta/partitions.py",
        "adapters/delta/pinned_files.py",
        "adapters/delta/prediction_partitions.py",
        "adapters/delta/table_formats.py",
        "adapters/delta/table_upkeep.py",
    },
    "obstore": {"adapters/stores/object_store.py", "adapters/stores/store_outages.py"},
    "optuna": {"adapters/models/optuna_storage.py", "adapters/models/studies.py"},
}
"""Library -> the only modules that may import it."""

WRITERS = {
    "write_deltalake": {
        "adapters/delta/delta_tables.py",
        "adapters/delta/prediction_partitions.py",
    },
    "create_write_transaction": {
        "adapters/delta/delta_tables.py",
        "adapters/delta/partitions.py",
    },
    "create_table_with_add_actions": set(),
    "convert_to_deltalake": set(),
    "create_checkpoint": {"adapters/delta/delta_commits.py", "adapters/delta/table_upkeep.py"},
    "optimize": {"adapters/delta/table_upkeep.py"},
    "alter": {"adapters/delta/table_formats.py", "adapters/delta/table_upkeep.py"},
    "cleanup_metadata": set(),
    "compact_logs": set(),
}
"""Name in delta-rs that writes to a table -> the only modules that may use it."""


@cache
def names_in(text: str) -> set[str]:
    """Return the libraries that a module imports, anywhere in it, and every name it uses."""
    found = set()
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            found |= {
                str(argument.value).split(".")[0]
                for argument in node.args
                if isinstance(argument, ast.Constant) and "import_module" in ast.unparse(node.func)
            }
    return found


def offenders(name: str, allowed: set[str], package: Path = PACKAGE) -> set[str]:
    """Return the modules of ``package`` that use ``name`` and are not among those allowed."""
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if name in names_in(path.read_text("utf-8"))
    }
    return users - allowed


@pytest.mark.parametrize(("name", "allowed"), [*IMPORTERS.items(), *WRITERS.items()])
def test_only_the_named_modules_reach_tables_and_stores(name: str, allowed: set[str]) -> None:
    assert not offenders(name, allowed)


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("deltalake", "def f():\n    from deltalake import DeltaTable\n"),
        ("deltalake", "import deltalake.fs as quietly\n"),
        ("deltalake", "from importlib import import_module\nimport_module('deltalake.table')\n"),
        ("obstore", "def f():\n    from obstore.store import S3Store\n"),
        ("write_deltalake", "def f(m, rows):\n    m.write_deltalake('t', rows)\n"),
        ("create_write_transaction", "def f(h):\n    return h.create_write_transaction\n"),
        ("optimize", "def f(handle):\n    handle.optimize.compact()\n"),
    ],
)
def test_the_guard_finds_a_planted_offender(tmp_path: Path, name: str, planted: str) -> None:
    (tmp_path / "adapters" / "delta").mkdir(parents=True)
    (tmp_path / "adapters" / "delta" / "delta_tables.py").write_text(
        "from deltalake import write_deltalake"
    )
    (tmp_path / "adapters" / "offender.py").write_text(planted)
    allowed = {"adapters/delta/delta_tables.py"}
    assert offenders(name, allowed, tmp_path) == {"adapters/offender.py"}
