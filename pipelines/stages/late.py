"""Late: which windows of the last days are to be scored again, because rows came late."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.adapters.settings import Settings
from pipelines.adapters.silver import late_data
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.domain.scoring import LateWindow

TICK = timedelta(microseconds=1)


def late_windows(
    use_case: UseCase, settings: Settings, *, as_of: datetime
) -> tuple["LateWindow", ...]:
    """Return what of the windows scored within ``rescore_days`` before ``as_of`` is to be scored again.

    Two things make a window late: rows known at a time it was scored as of that silver took in
    afterwards, and the delivery of a table that was stale at its scoring time, while the window
    lasts. Nothing is remembered: once the windows were scored again, nothing is returned. Nothing
    is returned either of a use case that scores nothing, or keeps its predictions (``on_late``).
    """
    if use_case.scoring is None or use_case.scoring.on_late == "keep":
        return ()
    parts = TrainedUseCase.of(use_case)
    scoring = parts.scoring
    ends = dict(scoring.times.blocks(as_of - timedelta(days=scoring.rescore_days), as_of + TICK))
    return late_data.late_windows(
        settings,
        use_case.name,
        parts.features.tables,
        ends,
        as_of=as_of,
        fails_closed=scoring.on_stale == "fail_closed",
    )


def describe(windows: "Sequence[LateWindow]") -> str:
    """Return a line for each window, for the log and the terminal; empty for none."""
    return "\n".join(
        f"window {window.scored_for.isoformat()}, from {window.as_of.isoformat()} on: {window.reason}"
        for window in windows
    )
