"""Shared parts: the identity of all that a feature function takes from the files that are shared."""

import ast
import hashlib
import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from pipelines.domain.digest import digest_of
from pipelines.domain.shared_code import (
    SharedImport,
    files_of,
    is_shared,
    shared_imports,
    wrong_import,
)
from pipelines.domain.value_code import GENERATED, Code, as_data, code_in, module_of
from pipelines.errors import DeclarationError, Problem

if TYPE_CHECKING:
    from pipelines.domain.feature_view import FeatureView

OF_THE_LANGUAGE = ("__", "_abc_")
"""How the names begin of what Python adds to a class; what is written there is in the class's text."""


def shared_parts(view: "FeatureView") -> dict[str, str]:
    """Return name -> digest of all that the view uses of other views and of shared files.

    Functions and classes count by their text and by the values they were given, and what these refer
    to in shared files counts as well; other values count by what they are, and a library's things
    by their names. Names are those by which the code refers to them, so two functions that one
    factory made are two. Empty for a view whose function stands alone. Raises DeclarationError for
    what has no identity, and for an import inside a feature function.
    """
    inner = inspect.unwrap(function_of(view))
    walk = _Walk(_folder_of(inner))
    walk.view(view)
    return walk.found


def function_of(view: "FeatureView") -> FunctionType:
    """Return a view's function; raises DeclarationError where it is another thing that can be called."""
    if not isinstance(view.function, FunctionType):
        raise DeclarationError(
            _unknown(
                f"feature function {view.name}", f"a value of type {type(view.function).__name__}"
            )
        )
    return view.function


class _Walk:
    """One walk over what a view's function refers to; ``found`` is what it met that is shared."""

    def __init__(self, folder: Path) -> None:
        self.found: dict[str, str] = {}
        self._folder = folder
        # Held, not only their ids: the id of what is gone may be another's.
        self._seen: dict[int, object] = {}
        self._imports: dict[str, dict[str, str]] = {}

    def view(self, view: "FeatureView") -> None:
        for used in view.uses:
            self.found[f"view {used.name}"] = _sha256(inspect.getsource(function_of(used)))
            self.view(used)
        function = function_of(view)
        shared = is_shared(module_of(function))
        origin = f"{module_of(function)}.{function.__qualname__}" if shared else view.name
        if hasattr(function, "__wrapped__"):
            self._unshared(function, origin)
        else:
            self._function(function, origin)

    def _function(self, function: FunctionType, origin: str) -> None:
        """Add what a function refers to, and what it was given beside its text."""
        if id(function) in self._seen:
            return
        self._seen[id(function)] = function
        own = module_of(function) if is_shared(module_of(function)) else ""
        given = (function.__defaults__ or (), function.__kwdefaults__ or {}, _cells(function))
        if not own:
            self._unshared(given, f"{origin}, given")
        elif any(given):
            self._value(given, f"{origin}, given")
        imported = self._imported(function)
        for name in sorted(_names(function.__code__)):
            if name.startswith("__"):
                continue  # the file's own name and place, which differ from machine to machine
            if is_shared(name):
                where = f"function {function.__name__}"
                raise DeclarationError(wrong_import(where, f"{name} inside it"))
            if name not in function.__globals__:
                continue
            value = function.__globals__[name]
            if name in imported or own:
                self._value(value, imported.get(name) or f"{own}.{name}")
            else:
                self._unshared(value, name)

    def _value(self, value: object, origin: str) -> None:
        """Add a value that is shared, and the code that it runs."""
        code = [each for each in code_in(value) if self._is_ours(each)]
        first = code[0] if code and _is_code(value) and _is_shared(code[0]) else None
        self.found[origin] = self._text(first, origin) if first else _digest(value, origin)
        for number, each in enumerate(code):
            name = origin if each is first else f"{origin}, {number}"
            if _is_shared(each):
                self.found[name] = self._text(each, name)
            self._code(each, name)

    def _unshared(self, value: object, origin: str) -> None:
        """Add a value of the use case's own file if it runs shared code, else what its code uses."""
        code = [each for each in code_in(value) if self._is_ours(each)]
        if any(_is_shared(each) for each in code):
            self._value(value, origin)
            return
        for each in code:
            self._code(each, origin)

    def _code(self, code: Code, origin: str) -> None:
        if isinstance(code, type):
            self._class(code, origin)
        else:
            self._function(code, origin)

    def _class(self, found: type, origin: str) -> None:
        """Add a class's members, and the shared classes that it is made of."""
        for each in found.__mro__:
            if id(each) in self._seen or not self._is_ours(each):
                continue
            self._seen[id(each)] = each
            name = origin if each is found else f"{module_of(each)}.{each.__qualname__}"
            if _is_shared(each) and each is not found:
                self.found[name] = self._text(each, name)
            add = self._value if _is_shared(each) else self._unshared
            if issubclass(each, Enum):
                values = {member.name: member.value for member in each}
                add(values, f"{name}, values")
            for member, value in vars(each).items():
                if _counts(each, member, value):
                    add(value, f"{name}.{member}")

    def _is_ours(self, code: Code) -> bool:
        """Tell whether code is shared, or of the use case's own file, and no library's."""
        if isinstance(code, FunctionType) and code.__code__.co_filename.startswith(GENERATED):
            return False  # from the text of a class, by a library
        if _is_shared(code):
            return True
        members = [code] if isinstance(code, FunctionType) else list(_methods(code))
        return any(_folder_of(member) == self._folder for member in members)

    def _imported(self, function: FunctionType) -> dict[str, str]:
        """Return local name -> full name of what the function's file imports from shared files."""
        file = function.__code__.co_filename
        if file not in self._imports:
            lines, _ = inspect.findsource(function)
            self._imports[file] = {
                local: f"{one.module}.{name}"
                for one in shared_imports("".join(lines), Path(file).name)
                for local, name in one.names.items()
            }
        return self._imports[file]

    def _text(self, code: Code, origin: str) -> str:
        """Return the digest of the text of a function or class."""
        if isinstance(code, type):
            return _sha256(self._text_of_class(code, origin))
        # Without its decorators' marks: inspect would tell the text of what it wraps.
        bare = FunctionType(code.__code__, code.__globals__, code.__name__, None, code.__closure__)
        try:
            return _sha256(inspect.getsource(bare))
        except OSError as error:
            raise DeclarationError(_unknown(origin, "a function without a text")) from error

    def _text_of_class(self, found: type, origin: str) -> str:
        """Return a class's text from its file: its module may be forgotten, or another folder's."""
        files = files_of([SharedImport(found.__module__, {})])
        for path in (self._folder / name for name in files):
            if not path.is_file():
                continue
            text = path.read_text("utf-8")
            lines = text.splitlines(keepends=True)
            names = [name for name in found.__qualname__.split(".") if name != "<locals>"]
            blocks = [
                inspect.getblock(lines[line - 1 :]) for line in _lines_of(ast.parse(text), names)
            ]
            if blocks:
                return "".join(line for block in blocks for line in block)
        raise DeclarationError(_unknown(origin, "a class without a text"))


def _folder_of(function: FunctionType) -> Path:
    """Return the folder of use cases that a function's file lies in, or whose shared file it is."""
    file = Path(function.__code__.co_filename)
    if not is_shared(module_of(function)):
        return file.parent
    depth = module_of(function).count(".") + (file.name == "__init__.py")
    return file.parents[depth]


def _lines_of(tree: ast.AST, names: list[str]) -> Iterator[int]:
    """Yield the first line of each class of a qualified name, decorators with it."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield from _lines_of(node, names)
        elif node.name == names[0] and len(names) > 1:
            yield from _lines_of(node, names[1:])
        elif node.name == names[0] and isinstance(node, ast.ClassDef):
            yield min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _methods(found: type) -> list[FunctionType]:
    return [member for member in vars(found).values() if isinstance(member, FunctionType)]


def _counts(owner: type, name: str, value: object) -> bool:
    """Tell whether a member of a class says something that the class's text may not."""
    if isinstance(value, FunctionType):
        return not value.__code__.co_filename.startswith(GENERATED)
    if name.startswith(OF_THE_LANGUAGE) or (issubclass(owner, Enum) and name.startswith("_")):
        return False
    runs = isinstance(value, staticmethod | classmethod | property) or hasattr(value, "__wrapped__")
    return runs or not (hasattr(type(value), "__get__") or isinstance(value, Enum))


def _names(code: CodeType) -> set[str]:
    """Return the global names, attributes and imports of a function and of those inside it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
    return found


def _cells(function: FunctionType) -> tuple[object, ...]:
    """Return the values around a function, without those that do not stand yet."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # the only way to tell
            continue
    return tuple(found)


def _is_code(value: object) -> bool:
    """Tell whether a value is nothing but code: a function, a class, a view, or a decorated one."""
    function = isinstance(getattr(value, "function", None), FunctionType)
    return isinstance(value, FunctionType | type) or function or hasattr(value, "__wrapped__")


def _is_shared(code: Code) -> bool:
    return is_shared(module_of(code))


def _digest(value: object, origin: str) -> str:
    try:
        return digest_of(as_data(value))
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            _unknown(origin, f"a value of type {type(value).__name__}")
        ) from error


def _unknown(origin: str, found: str) -> Problem:
    return Problem(
        where=f"{origin}, which a feature function uses",
        expected="a function, a feature view, or plain data: texts, numbers, times, lists",
        found=found,
        fix="Build it inside the function; features are known by what they are made of.",
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
