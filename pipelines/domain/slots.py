"""Slots: whose predictions a window holds, and what the window is called."""

from datetime import datetime

SLOT = "champion"
"""The slot of the predictions that consumers read."""

SHADOW = "shadow"
"""The slot of a former champion's predictions, which are compared and never delivered."""


def window_name(slot: str, scored_for: datetime) -> str:
    """Return the name of one slot's window: what a commit replaces, exactly."""
    return f"{slot}/{scored_for.isoformat()}"


def scored_for(window: str) -> datetime:
    """Return the scoring time of a window's name.

    >>> scored_for(window_name(SLOT, datetime(2026, 3, 1)))
    datetime.datetime(2026, 3, 1, 0, 0)
    """
    return datetime.fromisoformat(window.partition("/")[2])


def slot_of(window: str) -> str:
    """Return the slot of a window's name.

    >>> slot_of(window_name(SHADOW, datetime(2026, 3, 1)))
    'shadow'
    """
    return window.partition("/")[0]
