"""Shared code: what a feature function takes from the files that use cases share."""

import ast
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

from pipelines.domain.digest import digest_of
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    from pipelines.domain.feature_view import FeatureView

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
            problems.append(_wrong_import(f"{where}, line {node.lineno}", ast.unparse(node)))
    if problems:
        raise DeclarationError(*problems)
    return found


def shared_parts(view: "FeatureView") -> dict[str, str]:
    """Return name -> digest of all that the view uses of other views and of shared files.

    Functions count by their text, and what these refer to in shared files counts as well; plain
    values count by what they are. Empty for a view whose function stands alone. Raises
    DeclarationError for what has no identity, and for an import inside a feature function.
    """
    found: dict[str, str] = {}
    _of_view(view, found)
    return found


def _of_view(view: "FeatureView", found: dict[str, str]) -> None:
    for used in view.uses:
        found[f"view {used.name}"] = _sha256(inspect.getsource(_function_of(used)))
        _of_view(used, found)
    _of_function(_function_of(view), found, set())


def _of_function(function: FunctionType, found: dict[str, str], seen: set[CodeType]) -> None:
    if function.__code__ in seen:
        return
    seen.add(function.__code__)
    imported = _imported(function)
    own = function.__module__ if is_shared(function.__module__) else ""
    if own:
        _given(function, found)
        for cell in function.__closure__ or ():
            for each in _function_in(cell.cell_contents):
                found[f"{own}.{each.__qualname__}"] = _sha256(inspect.getsource(each))
                _of_function(each, found, seen)
    for name in sorted(_names(function.__code__)):
        if name.startswith("__"):
            continue  # the file's own name and place, which differ from machine to machine
        if is_shared(name):
            raise DeclarationError(
                _wrong_import(f"function {function.__name__}", f"{name} inside it")
            )
        if name not in function.__globals__:
            continue
        value = inspect.unwrap(function.__globals__[name])
        inner = _function_in(value)
        if name in imported or (own and not _is_foreign(value)):
            origin = imported.get(name) or f"{own}.{name}"
            found[origin] = _identity(value, origin)
            for each in inner:
                _of_function(each, found, seen)
        elif inner and getattr(value, "__module__", None) == function.__module__:
            # A function of the same file: its own text does not count, what it uses of others does.
            for each in inner:
                _of_function(each, found, seen)


def _imported(function: FunctionType) -> dict[str, str]:
    """Return local name -> full name of what the function's file imports from shared files."""
    lines, _ = inspect.findsource(function)
    where = PurePath(function.__code__.co_filename).name
    return {
        local: f"{one.module}.{name}"
        for one in shared_imports("".join(lines), where)
        for local, name in one.names.items()
    }


def _names(code: CodeType) -> set[str]:
    """Return the global names, attributes and imports of a function and of those inside it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _function_in(value: object) -> tuple[FunctionType, ...]:
    """Return the functions that a value runs: itself, a view's, a class's."""
    function = getattr(value, "function", None)
    if isinstance(function, FunctionType):
        return (function,)
    if isinstance(value, type):
        return tuple(member for member in vars(value).values() if isinstance(member, FunctionType))
    return (value,) if isinstance(value, FunctionType) else ()


def _is_foreign(value: object) -> bool:
    """Tell whether a value is a library's: the lock tells its version, as for any code."""
    if isinstance(value, ModuleType):
        return not is_shared(value.__name__)
    module = getattr(value, "__module__", None)
    plain = isinstance(value, date | time | timedelta)
    return (
        not plain and isinstance(module, str) and not is_shared(module) and not _has_fields(value)
    )


def _has_fields(value: object) -> bool:
    return hasattr(value, "__dataclass_fields__") and not isinstance(value, type)


def _identity(value: object, origin: str) -> str:
    if isinstance(value, FunctionType | type):
        return _sha256(inspect.getsource(value))
    function = getattr(value, "function", None)
    if isinstance(function, FunctionType):
        return _sha256(inspect.getsource(function))
    try:
        return digest_of(value)
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            Problem(
                where=f"{origin}, which a feature function uses",
                expected="a function, a feature view, or plain data: texts, numbers, times, lists",
                found=f"a value of type {type(value).__name__}",
                fix="Build it inside the function; features are known by what they are made of.",
            )
        ) from error


def _given(function: FunctionType, found: dict[str, str]) -> None:
    """Add what a shared function has been given beside its text: defaults, and values around it."""
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    given = (function.__defaults__ or (), function.__kwdefaults__ or {}, cells)
    if any(given):
        origin = f"{function.__module__}.{function.__qualname__}"
        found[f"{origin}, given"] = _identity(given, origin)


def _function_of(view: "FeatureView") -> FunctionType:
    assert isinstance(view.function, FunctionType)  # noqa: S101 - narrows the type
    return view.function


def _wrong_import(where: str, found: str) -> Problem:
    return Problem(
        where=where,
        expected="shared code imported at the top of the file, by name",
        found=found,
        fix="Write `from shared.<module> import <name>`: features are known by the text of what "
        "they use, and a model's archive holds the files.",
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
