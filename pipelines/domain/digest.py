"""Digests: the canonical bytes of a value, and their SHA-256."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from types import FunctionType
from typing import Any, Literal

NOT_DIGESTED = {"digested": False}
"""Metadata of a dataclass field that says how something is done, and changes nothing of what comes out."""


DIGESTED_IF_SET = {"digested": "if_set"}
"""Metadata of a field that says nothing while it has its default: what was declared before there was
such a field keeps its digest."""

PLAIN = (str, int, float, bool, type(None))
"""Types whose values JSON holds as they are."""

MOMENTS = (datetime, date, time)

Counts = Literal["always", "if_set"]
"""Whether a field counts, or only where it differs from its default."""


def canonical(  # noqa: PLR0911 - a return a type
    value: object, otherwise: Callable[[object], object] | None = None
) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return ``value`` as JSON-ready data in which equal declarations are equal.

    Functions count by their qualified name (their text is in the code digest), fields marked
    ``NOT_DIGESTED`` do not count, and those marked ``DIGESTED_IF_SET`` only where they differ from
    their default. What has no canonical form is what ``otherwise`` returns for it; without that it
    raises TypeError, so nothing is digested by its memory address.
    """
    if isinstance(value, PLAIN):
        return value
    if (fields := _fields(type(value))) is not None:  # type: ignore[arg-type]  # every class is hashable
        told: dict[str, Any] = {"type": type(value).__name__}
        for name, counts, default in fields:
            found = getattr(value, name)
            if counts == "always" or found != default:
                # Most are plain: not to call for those halves the time of all.
                told[name] = found if type(found) in PLAIN else canonical(found, otherwise)
        return told
    if isinstance(value, (list, tuple)):
        return [canonical(item, otherwise) for item in value]
    if isinstance(value, MOMENTS):
        return value.isoformat()
    if isinstance(value, timedelta):
        return {"seconds": value.total_seconds()}
    if isinstance(value, FunctionType):
        return {"function": value.__qualname__}
    if isinstance(value, dict):
        return {str(key): canonical(item, otherwise) for key, item in sorted(value.items())}
    if isinstance(value, (set, frozenset)):
        return sorted(canonical(item, otherwise) for item in value)
    if otherwise is not None:
        return otherwise(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


def digest_of(value: object) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of ``value``.

    >>> digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    True
    """
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1024)
def _fields(kind: type) -> tuple[tuple[str, Counts, object], ...] | None:
    """Return name, rule and default of each field that may count; None for what is no dataclass.

    Kept by class, since a declaration is read as often as a DAG file is, and has some hundred values
    of few classes.
    """
    if not dataclasses.is_dataclass(kind):
        return None
    told = ((field, field.metadata.get("digested", True)) for field in dataclasses.fields(kind))
    return tuple(
        (field.name, "if_set" if counts == "if_set" else "always", field.default)
        for field, counts in told
        if counts
    )
