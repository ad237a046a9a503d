"""Guards on how the code is kept: small modules, one line that says what each owns."""

import ast
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_says_in_one_line_what_it_owns(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    first_line = (ast.get_docstring(ast.parse(text)) or "").split("\n", 1)[0]
    assert first_line.endswith(".") or first_line.endswith("?") or ":" in first_line


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_of_ours_says_nothing(path: Path) -> None:
    names = {
        node.name.lower()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    } | {path.stem}
    assert not {name for name in names if set(name.strip("_").split("_")) & set(FORBIDDEN)}
