"""Value code: the functions and classes that a value runs, and the value as data without them."""

import copyreg
import logging
import re
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, partial
from types import FunctionType, GenericAlias, MethodType, ModuleType, UnionType

from pipelines.domain.digest import canonical
from pipelines.domain.shared_code import is_shared

Code = FunctionType | type

GENERATED = "<"
"""How the file name of code begins that was made from no file, such as a dataclass's methods."""

LIBRARY = "library"


def module_of(code: Code) -> str:
    """Return the module whose file holds the code: ``functools.wraps`` copies another's name."""
    return str(code.__module__ if isinstance(code, type) else code.__globals__.get("__name__"))


def code_in(value: object, _within: tuple[int, ...] = ()) -> Iterator[Code]:
    """Yield the functions and classes that a value runs, outermost first, each where it is met.

    A decorated function is its wrapper and what that wraps. What an object of a library holds is
    not looked at, but for the ``functools`` of the standard library.

    >>> [code.__name__ for code in code_in([partial(is_shared, "shared"), int])]
    ['is_shared', 'int']
    """
    if id(value) in _within:
        return
    if isinstance(value, FunctionType | type):
        yield value
    elif is_shared(type(value).__module__):
        yield type(value)
    if not isinstance(value, type):
        for part in _parts(value):
            yield from code_in(part, (*_within, id(value)))


def _parts(value: object) -> list[object]:  # noqa: PLR0911 - a return a type
    """Return what a value is made of and may run."""
    if isinstance(value, ModuleType):
        return []
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None:
        return [wrapped]
    if isinstance(getattr(value, "function", None), FunctionType):
        return [value.function]  # type: ignore[attr-defined] # a view
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, property):
        return [each for each in (value.fget, value.fset, value.fdel) if each is not None]
    if isinstance(value, cached_property):
        return [value.func]
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    return []


def as_data(value: object) -> object:
    """Return a value as JSON-ready data; functions and classes by their names.

    Raises TypeError for what cannot be told apart from another of its kind.

    >>> as_data((re.compile("a+"), Decimal("1.5")))
    [{'pattern': 'a+', 'flags': 32}, {'Decimal': '1.5'}]
    """
    return canonical(value, _otherwise)


def _otherwise(value: object) -> object:  # noqa: PLR0911 - a return a type
    """Return as data what ``canonical`` knows no form of."""
    if isinstance(value, re.Pattern):
        return {"pattern": as_data(value.pattern), "flags": value.flags}
    if isinstance(value, Decimal | Fraction | tzinfo | range | bytes | complex):
        return {type(value).__name__: str(value)}
    if isinstance(value, partial):
        return {"partial": [as_data(each) for each in (value.func, value.args, value.keywords)]}
    if isinstance(value, MethodType):
        return {"method": value.__func__.__qualname__, "of": as_data(value.__self__)}
    if isinstance(value, staticmethod | classmethod | property | cached_property):
        return {type(value).__name__: [code.__qualname__ for code in code_in(value)]}
    if isinstance(value, Enum):
        return {type(value).__name__: [value.name, as_data(value.value)]}
    if isinstance(value, ModuleType):
        return {LIBRARY: value.__name__}
    if isinstance(value, type):
        return {"class" if is_shared(value.__module__) else LIBRARY: value.__qualname__}
    if isinstance(value, logging.Logger):
        return {"logger": value.name}
    of_typing = type(value).__module__ == typing.__name__
    if isinstance(value, GenericAlias | UnionType) or of_typing:
        return {"type": repr(value)}
    if _is_named(value):
        return {LIBRARY: value.__name__}  # type: ignore[attr-defined] # has one, see there
    if (wrapped := getattr(value, "__wrapped__", None)) is not None:
        return {"wrapped": as_data(wrapped)}
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _is_named(value: object) -> bool:
    """Tell whether a value is a library's function without a text, such as one of NumPy's.

    They are those that pickle, too, knows by their names alone.
    """
    if not (callable(value) and isinstance(getattr(value, "__name__", None), str)):
        return False
    reduced = copyreg.dispatch_table.get(type(value))
    return isinstance(value.__reduce_ex__(4) if reduced is None else reduced(value), str)
