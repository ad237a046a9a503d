"""Watched: all that is known of a champion's blocks, and the verdict on them in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pipelines.domain.block_length import BlockLength
from pipelines.domain.change_text import change_text
from pipelines.domain.drift.drift_result import MINIMUM_BLOCKS
from pipelines.domain.monitored import (
    HARD_RULES,
    HARM,
    REALISED,
    WEEK_TEST,
    BlockEstimate,
    Judged,
    Spent,
    Standing,
    spent,
    standing,
)

VerdictLevel: TypeAlias = Literal["OK", "INFO", "WARN", "PAGE", "learning", "not_tested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """All that is known of the champion's blocks.

    ``judged`` holds the newest answer of every test, ``standing`` the alarms that have not ended,
    worst first. ``labelled_until`` is the scoring time of the newest block with enough final labels.
    ``assumes`` says in a clause when p-values are exact, ``needed_blocks`` how many blocks a
    comparison needs, ``prediction`` names the column of what the model says, ``loss`` how its loss is
    called, ``block`` how long one is. ``why_not`` says in a
    sentence why nothing could be judged at all; else it is empty.
    """

    model_version: str | None
    newest_block: str | None
    judged: tuple[Judged, ...] = ()
    standing: tuple[Standing, ...] = ()
    estimates: tuple[BlockEstimate, ...] = ()
    spent: Spent
    labelled_until: datetime | None = None
    assumes: str = ""
    needed_blocks: int = MINIMUM_BLOCKS
    prediction: str = ""
    loss: str = "log loss"
    block: BlockLength = "day"
    why_not: str = ""

    @classmethod
    def without(cls, why_not: str, *, alarms_per_quarter: float) -> "Watched":
        """Return what is known while no champion has scored a block."""
        return cls(
            model_version=None,
            newest_block=None,
            spent=Spent(alarms_per_quarter=alarms_per_quarter),
            why_not=why_not,
        )

    @classmethod
    def of(
        cls,
        judged: Sequence[Judged],
        every: Sequence[Judged],
        *,
        model_version: str,
        newest_block: str,
        alarms_per_quarter: float,
        block: BlockLength,
    ) -> "Watched":
        """Return what the answers about a model amount to, oldest first.

        ``every`` holds the answers about all models, which share one budget.
        """
        return cls(
            model_version=model_version,
            newest_block=newest_block,
            judged=tuple({one.name: one for one in judged}.values()),
            standing=tuple(standing(judged, block)),
            spent=spent(
                every, alarms_per_quarter=alarms_per_quarter, newest=newest_block, length=block
            ),
            block=block,
        )

    @property
    def level(self) -> VerdictLevel:
        """Return the worst that is known; a test that could not judge never makes it "OK"."""
        if self.why_not:
            return "not_tested"
        stands = {one.last.level for one in self.standing}
        if stands:
            return "PAGE" if "PAGE" in stands else "WARN"
        week = self.answer(WEEK_TEST)
        outcome = week.result.outcome if week else "not_tested"
        if outcome == "learning":
            return "learning"
        if any(one.level == "INFO" for one in self.judged):
            return "INFO"
        return "OK" if outcome in {"quiet", "drifted"} else "not_tested"

    @property
    def realised(self) -> Judged | None:
        """Return the newest mean loss on final labels; None without any."""
        return self.answer(REALISED)

    def answer(self, name: str) -> Judged | None:
        """Return the newest answer of a test; None without any."""
        return next((one for one in self.judged if one.name == name), None)

    @property
    def verdict(self) -> str:
        """Return in a few sentences what changed, since when, whether it hurts, and what to do."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return the parts of the verdict: what is so; whether it hurts; what to do. None is empty."""
        parts = {
            "not_tested": _not_watched,
            "learning": _learning,
            "OK": _quiet,
            "INFO": _fact,
        }
        return parts.get(self.level, _alarm)(self)


NOTHING = "Nothing is to be done."


def no_champion(as_of: datetime) -> str:
    """Return why nothing is watched before the first promotion."""
    return (
        f"no champion was promoted by {as_of:%Y-%m-%d %H:%M} UTC. Train one and have it promoted."
    )


def _not_watched(watched: Watched) -> tuple[str, ...]:
    if watched.why_not:
        return (f"Not watched: {watched.why_not}",)
    week = watched.answer(WEEK_TEST)
    if week is None:
        return ("Not watched: no block was judged. Run monitor.",)
    number = week.result.window_blocks
    are = "is" if number == 1 else "are"
    window = "week's" if watched.block == "day" else "seven weeks'"
    return (
        f"Not judged: only {number} of the {window} blocks {are} there.",
        _hurts(watched),
        NOTHING,
    )


def _learning(watched: Watched) -> tuple[str, ...]:
    week, hard = watched.answer(WEEK_TEST), watched.answer(HARD_RULES)
    there = week.result.reference_blocks if week else 0
    held = hard is not None and hard.result.outcome == "quiet"
    told = "which all hold" if held else "which could not be looked at"
    needed = watched.needed_blocks
    why = (
        f"{there} of the {needed} earlier blocks that a comparison needs are there"
        if there < needed
        # Then the test found that they are not as many as they look.
        else f"the {there} earlier blocks depend on each other and are worth fewer than the {needed} "
        "that a comparison needs"
    )
    return (
        f"Learning: {why}. Until then block {watched.newest_block} is judged by hard rules alone, "
        f"{told}.",
        _hurts(watched),
        NOTHING,
    )


def _quiet(watched: Watched) -> tuple[str, ...]:
    week = watched.answer(WEEK_TEST)
    before = week.result.reference_blocks if week else 0
    daily = watched.block == "day"
    window, are, they = ("week", "is", "it") if daily else ("seven weeks", "are", "they")
    return (
        f"OK: the {window} up to block {watched.newest_block} {are} like the {before} blocks {they} "
        f"{are} compared with.",
        _hurts(watched),
        NOTHING,
    )


def _fact(watched: Watched) -> tuple[str, ...]:
    fact = next(one for one in watched.judged if one.level == "INFO")
    why = (
        "Nothing got worse by as much as matters"
        if fact.subject == "model"
        else "It is too little, or in columns too unimportant, to matter to the model"
    )
    told = change_text(fact, prediction=watched.prediction, loss=watched.loss)
    return f"INFO: {told}. {why}.", _hurts(watched), NOTHING


def _alarm(watched: Watched) -> tuple[str, ...]:
    worst = watched.standing[0]
    since = f" since {worst.since:%Y-%m-%d %H:%M} UTC" if worst.since else ""
    told = change_text(worst.last, prediction=watched.prediction, loss=watched.loss)
    what = f"{watched.level}{since}: {told}."
    last = worst.last.block
    if worst.last.subject == "inputs" and last != watched.newest_block:
        what += f" It was last seen in block {last}."
    to_do = _to_do(worst.last)
    # Harm says what it costs itself.
    if worst.last.name == HARM:
        return (what, to_do) if worst.calm is None else (what, _ending(worst.calm, watched.loss))
    return what, _hurts(watched, since=worst.since), to_do


def _hurts(watched: Watched, *, since: datetime | None = None) -> str:
    """Say whether the model does worse, as far as labels tell, with the figures."""
    harm, until = watched.answer(HARM), watched.labelled_until
    if harm is None or harm.result.outcome == "not_tested":
        return "Whether the model does worse is not known: too few labels are final."
    if harm.result.outcome == "learning":
        return "Whether the model does worse is not known: too few held-out blocks have labels."
    if since is not None and until is not None and until < since:
        return f"Whether it hurts is not known: labels are final up to block {harm.block} only."
    told = "The model does harm" if harm.fires else "No harm is shown"
    if harm.result.figures.get("over"):
        told = "Harm that was shown is over"
    realised = watched.realised
    if realised is None:
        return f"{told} up to block {harm.block}."
    known, tolerated = realised.result.figures, harm.result.figures.get("tolerance", 0.0)
    beyond = known["mean"] > known.get("held_out", math.inf) + tolerated
    if beyond and not harm.fires:
        told = "The model may do harm, but that is not certain yet"
    return f"{told}: up to block {harm.block} {_figures(realised, tolerated, watched.loss)}."


def _ending(calm: Judged, loss: str) -> str:
    """Say from when on harm is done no more, of an alarm that stands until a week says so."""
    recent = calm.result.figures.get("recent", calm.result.figures["target"])
    return (
        f"With block {calm.block} the mean {loss} of the newest labelled blocks was back at "
        f"{recent:.3g}: it is over where no block of a week shows it again."
    )


def _figures(realised: Judged, tolerated: float, loss: str) -> str:
    """Return the mean loss of the newest labelled blocks beside that of the held-out ones."""
    known, number = realised.result.figures, realised.result.window_blocks
    bounds = (
        f"{known['low']:.3g} to {known['high']:.3g} with 90 % confidence"
        if "low" in known
        else "too few blocks for an interval"
    )
    held_out = f", of held-out ones {known['held_out']:.3g}" if "held_out" in known else ""
    return (
        f"the mean {loss} of the last {number} labelled blocks is {known['mean']:.3g} ({bounds})"
        f"{held_out}, and {tolerated:.3g} more is tolerated"
    )


def _to_do(judged: Judged) -> str:
    if judged.name == HARD_RULES:
        return "Have the source or the contract mended, and do not train on these blocks."
    if judged.subject == "model":
        return "Look at the segments on the monitoring page, then train a challenger."
    return "Ask who delivers the data what changed; if it is to stay, train a challenger."
