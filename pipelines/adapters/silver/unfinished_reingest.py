"""An unfinished reingest: silver replaced, and quarantine not yet."""

from pipelines.adapters.delta import delta_tables
from pipelines.adapters.silver import stale_marks
from pipelines.adapters.silver.intake import Places
from pipelines.errors import LakeError, Problem


def refuse(places: Places) -> None:
    """Raise LakeError where a reingest replaced silver and was cut off before quarantine.

    The accounts of silver and quarantine do not fit together then, until it is run again.
    """
    begun = [mark for mark in stale_marks.marks(places.silver) if mark.reason == "reingest"]
    if not begun:
        return
    commits = delta_tables.history(places.quarantine)
    whole = not commits or int(commits[-1]["version"]) == 0
    ended = (
        int(commit["headframe.number"])
        for commit in commits
        if commit.get("headframe.stage") == "reingest"
    )
    if whole and max(ended, default=-1) < begun[-1].number:
        raise LakeError(
            Problem(
                where=f"table {places.use_case}/{places.table.name}",
                expected="the rows that a reingest set aside",
                found="a reingest that was cut off before it wrote them, or still runs",
                fix=f"Run `headframe reingest {places.table.name}` again, unless it still runs.",
            )
        )
