"""Plain values: frozen dataclasses as JSON-ready data, and back, for what travels between processes."""

import dataclasses
import types
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


def to_plain(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return ``value`` as dicts, lists, texts and numbers only; moments become ISO texts.

    Raises TypeError for a type that ``from_plain`` would not bring back.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} does not travel")


def from_plain(kind: type[Value], plain: object) -> Value:
    """Return the value of dataclass ``kind`` that ``to_plain`` made ``plain`` of.

    Raises KeyError or TypeError for data that another class, or another release of it, made.
    """
    if not isinstance(plain, Mapping):
        raise TypeError(f"a {kind.__name__} from {type(plain).__name__}")
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]  # any dataclass
    if unknown := sorted(set(plain) - set(names)):
        raise TypeError(f"{kind.__name__} has no {', '.join(unknown)}")
    return kind(**{name: _value(hints[name], plain[name]) for name in names})


def _value(kind: Any, plain: Any) -> Any:  # noqa: ANN401, PLR0911 - a type form; a return a form
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        chosen = [option for option in inner if option is not type(None)]
        return None if plain is None else _value(chosen[0], plain)
    if origin is Literal:
        return plain
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_value(inner[0], item) for item in plain)
        return tuple(_value(form, item) for form, item in zip(inner, plain, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _value(inner[1], item) for key, item in plain.items()}
    if kind is datetime:
        return datetime.fromisoformat(plain)
    if dataclasses.is_dataclass(kind):
        return from_plain(kind, plain)  # type: ignore[arg-type]  # narrowed to a class above
    return plain
