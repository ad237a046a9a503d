"""Probation: how long a new champion is compared with the one before, and by which rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from pipelines.domain.metric import loss_problem
from pipelines.domain.metrics import one_sided_problem
from pipelines.errors import Problem

FEWEST_BLOCKS = 7
"""Fewest blocks of a probation and between two looks: a whole week, in which weekdays count alike."""

MOST_BLOCKS = 92
"""A quarter, as long as windows may be scored again."""

SPENDING = 2.0
"""Power by which the level is spent over the blocks (Kim and DeMets, 1987): a quarter of it at half
time. Beside 3 it finds a disaster more often in the first week, and costs next to nothing at the end
(simulated, decision 0019)."""

NEWEST = 0.5
"""Share of a look's level that the newest blocks alone get. A champion that turns bad half way makes
days look as if each remembered the last, so that their mean tells nothing: of such a turn by four
spreads of a day the mean of 14 blocks finds 2 %, the newest seven alone 82 (decision 0019)."""

SOUND = "A sound declaration is Probation(blocks=14, look_every=7, confidence=0.95)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One bound of a look: over the blocks from number ``first`` up to ``look``, at a confidence."""

    look: int
    first: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Probation:
    """How a new champion is compared with the one before, which scores beside it unseen.

    The first ``blocks`` blocks after the promotion are compared on final labels, block by block, by
    the mean ``loss`` (None: that of the use case's kind of prediction). Every ``look_every`` blocks
    the new champion is rolled back when it is worse by more than ``tolerance`` (unit of the loss),
    over all blocks so far or over the newest ``look_every``. If it is not worse, that happens with a
    probability of at most 1 - ``confidence`` over all looks together. 0 ``blocks``: no probation.

    >>> Probation(blocks=14).looks
    (7, 14)
    """

    blocks: int = 14
    look_every: int = 7
    confidence: float = 0.95
    tolerance: float = 0.0
    loss: str | None = None

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of final blocks at which is looked, ascending."""
        return (*range(self.look_every, self.blocks, self.look_every), self.blocks)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What is asked at each look, in order: over all blocks so far, then over the newest alone.

        Each has its share of 1 - ``confidence``; by Bonferroni's inequality all hold together.

        >>> [(b.look, b.first, round(b.confidence, 5)) for b in Probation(blocks=14).bounds]
        [(7, 0, 0.9875), (14, 0, 0.98125), (14, 7, 0.98125)]
        """
        found = []
        level = 1.0 - self.confidence
        for before, look in pairwise((0, *self.looks)):
            spent = level * (look**SPENDING - before**SPENDING) / self.blocks**SPENDING
            newest = look - self.look_every
            shares = {0: 1.0} if newest <= 0 else {0: 1.0 - NEWEST, newest: NEWEST}
            found += [
                Bound(look=look, first=first, confidence=1.0 - spent * share)
                for first, share in shares.items()
            ]
        return tuple(found)

    def problems(self, where: str, losses: Sequence[str]) -> list[Problem]:
        """Return what is wrong with the declaration; ``losses`` are those that the use case has."""
        if self.blocks == 0:
            return []
        wrong_confidence = one_sided_problem(self.confidence)
        wrong_loss = None if self.loss is None else loss_problem(self.loss, tuple(losses))
        found = (
            (
                FEWEST_BLOCKS <= self.blocks <= MOST_BLOCKS,
                f"from {FEWEST_BLOCKS} to {MOST_BLOCKS} blocks, or 0 for no probation",
                f"{self.blocks}",
                SOUND,
            ),
            (
                FEWEST_BLOCKS <= self.look_every <= max(self.blocks, FEWEST_BLOCKS),
                f"a look_every from {FEWEST_BLOCKS} blocks to all of them",
                f"{self.look_every}",
                SOUND,
            ),
            (
                wrong_confidence is None,
                "a confidence between 0.5 and 1",
                wrong_confidence or "",
                "0.95 rolls back one in twenty of those that are no worse, at most.",
            ),
            (
                math.isfinite(self.tolerance) and self.tolerance >= 0,
                "a tolerance of 0 or more, in the unit of the loss",
                f"{self.tolerance}",
                "0 rolls back whatever is worse beyond chance.",
            ),
            (
                wrong_loss is None,
                f"a loss of rows ({', '.join(losses)})",
                wrong_loss or "",
                "Leave it out to compare by the use case's own.",
            ),
        )
        return [
            Problem(where=where, expected=expected, found=seen, fix=fix)
            for sound, expected, seen, fix in found
            if not sound
        ]

    def as_text(self) -> str:
        """Return the rule as the decisions ledger keeps it; ``from_text`` reads it back.

        >>> Probation(loss="log_loss").as_text()
        'blocks=14 look_every=7 confidence=0.95 tolerance=0.0 loss=log_loss'
        """
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))

    @classmethod
    def from_text(cls, text: str) -> "Probation":
        """Read what ``as_text`` wrote of a rule whose loss is named; else ValueError or KeyError.

        >>> Probation.from_text(Probation(loss="brier", blocks=21).as_text()).looks
        (7, 14, 21)
        """
        told = dict(word.split("=", 1) for word in text.split())
        return cls(
            blocks=int(told["blocks"]),
            look_every=int(told["look_every"]),
            confidence=float(told["confidence"]),
            tolerance=float(told["tolerance"]),
            loss=told["loss"],
        )
