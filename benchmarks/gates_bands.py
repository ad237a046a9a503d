"""Gate bands: a share of runs, and how far it may lie from a declared rate by luck."""

from dataclasses import asdict, dataclass

from scipy import stats

TAIL = 0.001
"""Chance that a rule whose true rate is the declared one leaves the band: once in a thousand cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How often what a question is about happened, with one rule in one world with so many blocks.

    ``counted`` runs of ``runs``, which may be a share ``declared`` at most, or must be at least. In
    ``too_few`` the rule said that it could not tell.
    """

    question: str
    world: str
    rule: str
    blocks: int
    runs: int
    counted: int
    too_few: int
    declared: float
    at_most: bool

    @property
    def share(self) -> float:
        """The share of runs that were counted."""
        return self.counted / self.runs

    @property
    def edge(self) -> float:
        """The share that luck alone reaches, from the declared rate, once in 1 / TAIL."""
        tail = 1 - TAIL if self.at_most else TAIL
        return float(stats.binom.ppf(tail, self.runs, self.declared)) / self.runs

    @property
    def kept(self) -> bool:
        """Whether the share is what was declared, but for luck."""
        return self.share <= self.edge if self.at_most else self.share >= self.edge

    def row(self) -> dict[str, object]:
        """Return the cell as plain values, with what follows from them."""
        return {**asdict(self), "share": self.share, "edge": self.edge, "kept": self.kept}
