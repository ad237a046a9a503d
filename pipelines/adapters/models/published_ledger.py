"""The published ledger: the decisions ledger held against what MLflow shows of it."""

from dataclasses import dataclass

from pipelines.adapters.models import champion_alias, decisions
from pipelines.adapters.models.decisions import Recorded
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import rewritten


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A ledger that is whole: how many entries, the last one's digest, how many were published.

    ``covered`` is the newest entry whose digest MLflow shows: a rewriting of it or of an earlier one
    would be found.
    """

    entries: int
    newest: str
    published: int
    covered: int

    def describe(self) -> str:
        """Return one line for the terminal."""
        if not self.entries:
            return "decisions ledger: no entry yet"
        told = (
            f"decisions ledger: {self.entries:,} entries in an unbroken chain that ends in "
            f"{self.newest[:12]}"
        )
        if not self.published:
            return f"{told}; none is published in MLflow yet"
        return f"{told}; {self.published:,} digests in MLflow agree, up to entry {self.covered:,}"


def published_entries(settings: Settings) -> list[Recorded]:
    """Return the whole ledger; raises LakeError when it is not the one that was published."""
    # Asked before the entries are read, so that another's append in between is no difference.
    anchors = champion_alias.anchors(settings)
    entries = decisions.read_all(settings)
    if (found := rewritten(entries, anchors)) is not None:
        raise decisions.broken(found)
    return entries


def verified(settings: Settings) -> Verified:
    """Check every entry against the one before, and those published against MLflow.

    Raises LakeError that names the first entry that does not hold.
    """
    anchors = champion_alias.anchors(settings)
    entries = published_entries(settings)
    return Verified(
        entries=len(entries),
        newest=entries[-1].digest if entries else "",
        published=len(anchors),
        covered=max((anchor.sequence for anchor in anchors), default=0),
    )
