"""Change text: what an answer of a test says has changed, in the words of an operator."""

from collections.abc import Mapping, Sequence

from pipelines.domain.drift.drift_result import ColumnShift
from pipelines.domain.monitored import HARD_RULES, HARM, Judged

MOST_NAMED = 3
"""Columns or segments that a sentence names; the page has them all."""

CLAUSES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("bins", "up"): ("is higher on the whole", "are higher on the whole"),
    ("bins", "down"): ("is lower on the whole", "are lower on the whole"),
    ("moments", "up"): ("is higher on average", "are higher on average"),
    ("moments", "down"): ("is lower on average", "are lower on average"),
    ("mix", "changed"): ("has another mix of values", "have another mix of values"),
    ("missing", "up"): ("is missing more often", "are missing more often"),
    ("missing", "down"): ("is missing less often", "are missing less often"),
    ("ranks", "changed"): (
        "goes with other columns in another way",
        "go with other columns in another way",
    ),
}
"""What one column does, and what several do, by family and direction of the shift."""

OTHERWISE = ("has other values", "have other values")


def change_text(judged: Judged, *, prediction: str = "", loss: str = "log loss") -> str:
    """Return in a clause what an answer that drifted says: no capital, no full stop.

    ``prediction`` names the column that holds the model's output, so that it is called so; ``loss``
    is how the loss is called.
    """
    result, shifts = judged.result, judged.alarm.shifts if judged.alarm else ()
    if judged.name == HARD_RULES:
        # It speaks of one block in plain words already.
        return result.reason[:1].lower() + result.reason[1:].rstrip(".")
    if judged.name == HARM:
        return _harm(result.figures, result.window_blocks, loss)
    number, before = result.window_blocks, result.reference_blocks
    if judged.subject == "model":
        told = [_of_model(shift, loss) for shift in _first_of_each(shifts)[:MOST_NAMED]]
        window = f"last {number} labelled blocks"
    else:
        told = _of_columns(shifts, prediction)
        window = "newest block" if number == 1 else f"last {number} blocks"
    return f"{'; '.join(told)} ({window}, compared with {before} earlier ones)"


def _of_columns(shifts: Sequence[ColumnShift], prediction: str) -> list[str]:
    """Say what columns do, each by the first of its shifts, those that do the same together."""
    first = _first_of_each(shifts)
    clauses: dict[tuple[str, str], list[str]] = {}
    for shift in first[:MOST_NAMED]:
        name = f"{shift.column} (the prediction)" if shift.column == prediction else shift.column
        clauses.setdefault(CLAUSES.get((shift.family, shift.direction), OTHERWISE), []).append(name)
    told = [
        f"{_listed(names)} {one if len(names) == 1 else several}"
        for (one, several), names in clauses.items()
    ]
    more = len(first) - MOST_NAMED
    if more > 0:
        told.append(f"{more} more changed")
    return told


def _first_of_each(shifts: Sequence[ColumnShift]) -> list[ColumnShift]:
    found: dict[str, ColumnShift] = {}
    for shift in shifts:
        found.setdefault(shift.column, shift)
    return list(found.values())


def _of_model(shift: ColumnShift, loss: str) -> str:
    if shift.family == "loss":
        return f"the mean {loss} is {shift.effect:.3g} {_way(shift, 'higher', 'lower')}"
    if shift.family == "calibration" and loss != "log loss":
        above = _way(shift, "higher", "lower")
        return f"the outcome is by {shift.effect:.3g} {above} than predicted"
    if shift.family == "calibration":
        often = _way(shift, "more", "less")
        return f"the outcome is by {shift.effect:.3g} {often} frequent than predicted"
    rose = _way(shift, "higher", "lower")
    return f"the loss of {shift.column} is {shift.effect:.3g} {rose} against the other rows"


def _way(shift: ColumnShift, up: str, down: str) -> str:
    return up if shift.direction == "up" else down


def _harm(figures: Mapping[str, float], blocks: int, loss: str) -> str:
    return (
        f"the mean {loss} over {blocks} labelled blocks is {figures['target']:.3g}, at least "
        f"{figures['target_at_least']:.3g}; it was {figures['source']:.3g} on held-out blocks, and "
        f"{figures['tolerance']:.3g} more is tolerated"
    )


def _listed(parts: Sequence[str]) -> str:
    """Join names as a person does.

    >>> _listed(["wind"]), _listed(["wind", "gust"]), _listed(["wind", "gust", "hour"])
    ('wind', 'wind and gust', 'wind, gust and hour')
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
