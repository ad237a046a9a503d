"""Digests: the canonical bytes of a value, and their SHA-256."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from types import FunctionType
from typing import Any

NOT_DIGESTED = {"digested": False}
"""Metadata of a dataclass field that says how something is done, and changes nothing of what comes out."""


DIGESTED_IF_SET = {"digested": "if_set"}
"""Metadata of a field that says nothing while it has its default: what was declared before there was
such a field keeps its digest."""


def canonical(  # noqa: PLR0911 - a return a type
    value: object, otherwise: Callable[[object], object] | None = None
) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return ``value`` as JSON-ready data in which equal declarations are equal.

    Functions count by their qualified name (their text is in the code digest), fields marked
    ``NOT_DIGESTED`` do not count, and those marked ``DIGESTED_IF_SET`` only where they differ from
    their default. What has no canonical form is what ``otherwise`` returns for it; without that it
    raises TypeError, so nothing is digested by its memory address.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if _counts(f, getattr(value, f.name))]
        told = {f.name: canonical(getattr(value, f.name), otherwise) for f in fields}
        return {"type": type(value).__name__, **told}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return {"seconds": value.total_seconds()}
    if isinstance(value, FunctionType):
        return {"function": value.__qualname__}
    if isinstance(value, dict):
        return {str(key): canonical(item, otherwise) for key, item in sorted(value.items())}
    if isinstance(value, set | frozenset):
        return sorted(canonical(item, otherwise) for item in value)
    if isinstance(value, list | tuple):
        return [canonical(item, otherwise) for item in value]
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


def _counts(field: "dataclasses.Field[Any]", found: object) -> bool:
    """Tell whether a field is part of its dataclass's canonical form."""
    digested = field.metadata.get("digested", True)
    return bool(found != field.default if digested == "if_set" else digested)
