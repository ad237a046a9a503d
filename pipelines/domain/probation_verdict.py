"""Probation verdicts: what the final labels so far say of a new champion beside the one before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.domain.block_estimate import BlockEstimate, mean_estimate
from pipelines.domain.metrics import row_losses
from pipelines.domain.probation import Bound, Probation

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_EFFECTIVE = 5
"""Independent blocks that a look must be worth (decision 0019). A gate needs 20; here a wrong answer
costs a champion that may be trained again, and none costs days of a bad one. Simulated: with 5 the
level of all looks together is what the docs say."""

Outcome = Literal["waiting", "worse", "no_worse", "too_few"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedBlock:
    """One block that champion and shadow scored: final labels of both, and their mean losses.

    The losses are None where fewer rows than needed have a final label and both predictions.
    """

    block: str
    rows: int
    champion: float | None
    shadow: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbationVerdict:
    """What a probation amounts to so far: the outcome, in a sentence, with its figures.

    "waiting": nothing against the champion yet, and blocks are missing. "worse": to be rolled back.
    "no_worse": every block is final, and no look found it worse. "too_few": the same, except that
    the last look could not tell.
    """

    outcome: Outcome
    reason: str
    figures: Mapping[str, float]


def paired_blocks(
    rows: "pa.Table | None",
    states: "pa.Table",
    *,
    key: Sequence[str],
    blocks: Sequence[str],
    loss: str,
    minimum_labels: int,
) -> list[PairedBlock]:
    """Return one PairedBlock per name in ``blocks``, in their order.

    ``rows`` hold the key, ``block``, and what champion and shadow said (columns of these names); None
    when there are none. ``states`` are label states by key. Rows without a final label do not count.
    """
    import numpy as np
    import pyarrow.compute as pc

    if rows is None:
        return [PairedBlock(block=block, rows=0, champion=None, shadow=None) for block in blocks]
    final = states.filter(pc.equal(states["state"], "final")).select([*key, "value"])
    joined = rows.join(final, list(key), join_type="inner")
    # A join has no order of its own, and a sum's last bits depend on it.
    joined = joined.sort_by([(name, "ascending") for name in ("block", *key)])
    of_row = np.asarray(joined["block"].to_pylist(), dtype=object)
    label = joined["value"].to_numpy()
    losses = {
        name: row_losses(loss, label, joined[name].to_numpy()) for name in ("champion", "shadow")
    }
    found = []
    for block in blocks:
        mine = of_row == block
        count = int(mine.sum())
        enough = count >= max(minimum_labels, 1)
        means = {
            name: float(values[mine].mean()) if enough else None for name, values in losses.items()
        }
        found.append(PairedBlock(block=block, rows=count, **means))
    return found


def judge(
    rule: Probation,
    blocks: Sequence[PairedBlock],
    *,
    against: str,
    unit: str,
    looked: int = 0,
) -> ProbationVerdict:
    """Judge the blocks whose labels are final, in order of time, at each look that they reach.

    H0: the champion's mean loss is at most the shadow's plus the tolerance. It is rejected when a
    one-sided lower bound of the mean increase, paired on blocks (Diebold and Mariano, 1995), exceeds
    the tolerance: over all blocks up to a look, or over the newest of them. The bound is
    ``block_estimate``'s, which counts days that depend on each other as fewer; each has its share of
    the level (see ``Probation``). ``against`` names the shadow's version, ``unit`` that of the loss.
    Looks at up to ``looked`` blocks found nothing when they were due, and are not asked again.
    """
    due = [bound for bound in rule.bounds if bound.look <= len(blocks)]
    if not due:
        return ProbationVerdict(
            outcome="waiting",
            reason=f"Not compared with version {against} yet: the labels of {len(blocks)} of"
            f" {rule.blocks} blocks are final, and the first look is at {rule.looks[0]}.",
            figures={"final": float(len(blocks)), "blocks": float(rule.blocks)},
        )
    verdicts = [_judged(rule, blocks, bound, against=against, unit=unit) for bound in due]
    worse = [
        verdict
        for verdict, bound in zip(verdicts, due, strict=True)
        if verdict.outcome == "worse" and bound.look > looked
    ]
    if worse:
        return worse[0]
    # What is told is the last look's bound over all blocks, which comes before that of the newest.
    last = next(v for v, bound in zip(verdicts, due, strict=True) if bound.look == due[-1].look)
    if len(blocks) >= rule.blocks:
        return last
    left = rule.blocks - len(blocks)
    return ProbationVerdict(
        outcome="waiting",
        reason=f"{last.reason} {left} of {rule.blocks} blocks are waited for.",
        figures=last.figures,
    )


def _judged(
    rule: Probation, blocks: Sequence[PairedBlock], bound: Bound, *, against: str, unit: str
) -> ProbationVerdict:
    chosen = blocks[bound.first : bound.look]
    found = _estimate(chosen)
    measured = sum(block.champion is not None for block in chosen)
    effective = 0.0 if found is None else found.effective
    figures = {
        "look": float(bound.look),
        "first": float(bound.first),
        "measured": float(measured),
        "effective": effective,
        "confidence": bound.confidence,
    }
    if found is None or round(found.effective) < FEWEST_EFFECTIVE:
        return ProbationVerdict(
            outcome="too_few",
            reason=f"Not tested: of {len(chosen)} blocks {measured} were scored by the champion and"
            f" by version {against} and have enough final labels, worth {effective:.0f} independent"
            f" ones; {FEWEST_EFFECTIVE} are needed.",
            figures=figures,
        )
    at_least, at_most = found.at_least(bound.confidence), found.at_most(bound.confidence)
    worse = at_least > rule.tolerance
    newest = "the newest " if bound.first else ""
    return ProbationVerdict(
        outcome="worse" if worse else "no_worse",
        reason=f"On final labels the champion's mean {rule.loss} is"
        f" {'above' if found.estimate > 0 else 'below'} that of version {against} by"
        f" {abs(found.estimate):.3g} {unit} over {newest}{measured} blocks; at"
        f" {bound.confidence:.4g} confidence the increase is at least {at_least:.3g}, which is"
        f" {'above' if worse else 'not above'} {rule.tolerance:.3g}.",
        figures=figures
        | {
            "increase": found.estimate,
            "at_least": at_least,
            "at_most": at_most,
            "tolerance": rule.tolerance,
            "autocorrelation": found.autocorrelation,
        },
    )


def _estimate(blocks: Sequence[PairedBlock]) -> BlockEstimate | None:
    """Return the estimate of the mean increase of the loss; None below two blocks."""
    pairs = [
        (block.champion - block.shadow, block.rows)
        for block in blocks
        if block.champion is not None and block.shadow is not None
    ]
    return mean_estimate([increase for increase, _ in pairs], [rows for _, rows in pairs])
