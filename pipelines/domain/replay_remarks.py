"""Replay remarks: what has to be known of the history that was asked for, to read what came of it."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from pipelines.domain.replay_result import PolicyResult
from pipelines.domain.replay_steps import Every


def remarks(
    every: Every,
    *,
    periods: int,
    due: Sequence[datetime],
    newest: datetime | None,
    policies: Sequence[PolicyResult],
) -> Iterator[str]:
    """Yield a sentence for each thing in which this replay is not the platform's loop over all of it.

    ``due`` are the scoring times, ``newest`` is when silver's newest row became known (UTC).
    """
    if cut := ", ".join(f"{one.cut_short} of {one.policy}" for one in policies if one.cut_short):
        yield (
            f"Searches that their CPU budget ended, with trials left: {cut}. A faster machine would try "
            "more and may find others, so these ledgers need not say the same again (--fixed does)."
        )
    if newest is not None and (beyond := sum(moment > newest for moment in due)):
        yield (
            f"Silver knows nothing newer than {newest:%Y-%m-%d %H:%M} UTC: {beyond:,} of "
            f"{len(due):,} scoring times come after it."
        )
    if len(due) > periods:
        yield (
            f"Monitored once a {every}; the platform does so after each scoring and when labels come, "
            "so alarms and what they set off may come earlier there."
        )
