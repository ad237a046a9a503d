"""Kept models: fitted models that a process has read, where it needs the same ones again and again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_kept: ContextVar[dict[str, Any] | None] = ContextVar("kept_models", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """Read each model once for all that is done inside; its files are held against their digest each time."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def once(sha256: str, read: Callable[[], Any]) -> Any:  # noqa: ANN401 - any estimator
    """Return the model whose files have this digest, as it was read inside ``kept``, or as it is read now."""
    models = _kept.get()
    if models is None:
        return read()
    if sha256 not in models:
        models[sha256] = read()
    return models[sha256]
