"""Shared code: the files that use cases share, and how they import from them."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.errors import DeclarationError, Problem

SHARED = "shared"
"""The folder beside the use-case files, and the package that they import from."""


@dataclass(frozen=True, slots=True)
class SharedImport:
    """One ``from shared.<module> import <names>``: the module, and local name -> name in it."""

    module: str
    names: Mapping[str, str]


def is_shared(module: str | None) -> bool:
    """Tell whether a module is one of those that use cases share.

    >>> is_shared("shared.airports"), is_shared("shared_airports")
    (True, False)
    """
    return module == SHARED or (module or "").startswith(f"{SHARED}.")


def shared_imports(text: str, where: str) -> list[SharedImport]:
    """Return what a file's text imports from shared files, in order, wherever in it.

    Raises DeclarationError for a form of import that does not name what it takes, and SyntaxError
    for a text that is no Python.

    >>> shared_imports("from shared.airports import traffic as t", "dags/x.py")
    [SharedImport(module='shared.airports', names={'t': 'traffic'})]
    """
    if SHARED not in text and "from ." not in text:
        return []  # most files, at no cost
    found, problems = [], []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            wrong = any(is_shared(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stars = any(alias.name == "*" for alias in node.names)
            wrong = node.level > 0 or node.module == SHARED or (is_shared(node.module) and stars)
            if is_shared(node.module) and not wrong:
                names = {alias.asname or alias.name: alias.name for alias in node.names}
                found.append(SharedImport(node.module or "", names))
        else:
            continue
        if wrong:
            problems.append(wrong_import(f"{where}, line {node.lineno}", ast.unparse(node)))
    if problems:
        raise DeclarationError(*problems)
    return found


def wrong_import(where: str, found: str) -> Problem:
    """Return what is wrong with an import that does not name what it takes from a shared file."""
    return Problem(
        where=where,
        expected="shared code imported at the top of the file, by name",
        found=found,
        fix="Write `from shared.<module> import <name>`: features are known by the text of what "
        "they use, and a model's archive holds the files.",
    )


def files_of(imports: list[SharedImport]) -> Iterator[str]:
    """Yield the paths below the folder of use cases where imported modules lie, packages' own too.

    >>> list(files_of([SharedImport("shared.air.ports", {})]))
    ['shared/__init__.py', 'shared/air/__init__.py', 'shared/air/ports.py', 'shared/air/ports/__init__.py']
    """
    for one in imports:
        parts = one.module.split(".")
        for count in range(1, len(parts)):
            yield "/".join([*parts[:count], "__init__.py"])
        yield "/".join(parts) + ".py"
        yield "/".join([*parts, "__init__.py"])
