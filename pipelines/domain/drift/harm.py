"""The drift test that asks whether the model's risk rose by more than the declared tolerance."""

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, TypeAlias

from pipelines.domain.drift.drift_result import (
    MINIMUM_BLOCKS,
    ColumnShift,
    DriftEvidence,
    DriftResult,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]

LOSS_OF_A_COIN = {"log_loss": 0.6931471805599453, "brier": 0.25}
"""Loss of always saying one half: ln 2 nats, and a quarter. A block's loss counts up to it."""

RISES = (0.5, 1.0, 2.0)
"""Increases that the bettors are best at, in standard deviations of the reference's blocks."""

LARGEST_STAKE = 0.9
"""Share of the capital that is staked at most, so that no single block takes all."""

GUESSED_VARIANCE = 0.01
"""Variance of block losses, on their scale of [0, 1], before the first one was seen."""

LARGEST_LOG = 600.0
"""Logarithm at which capital is cut: far beyond any level, and still a finite number."""

BISECTIONS = 30
LEAST_SPREAD = 1e-6

RECENT = 28
"""Newest blocks whose mean tells whether harm that was found is still done: those whose mean loss is
told beside it (``realised_loss``)."""

START_EVERY = 7
"""Bettors start at the first block and at every seventh after it, to find harm that begins late."""


@dataclass(frozen=True, slots=True)
class Harm:
    """Find that the mean loss of blocks rose by more than ``tolerance`` (unit of the loss).

    H0: the risk on the target is at most that on the source plus the tolerance. It is rejected when
    a time-uniform lower bound on the target's passes an upper bound on the source's (Podkopaev and
    Ramdas, ICLR 2022, "Tracking the risk of a deployed model and detecting harmful distribution
    shifts"). Both bounds are by betting (Waudby-Smith and Ramdas, 2023): against "the mean is at
    most m" the capital

        K_t(m) = mean over stakes g and starts s of  product over i in s..t of 1 + g (x_i - m)

    is a nonnegative martingale or shrinks, so it ever reaches 2 / ``delta`` with probability at
    most ``delta`` / 2 (Ville, 1939). With the source's bound, P(ever a false alarm) <= ``delta``
    however often one looks and however late labels come, over a window that begins once per
    ``horizon`` blocks. Blocks may depend on each other: what is asked of the target is that no
    block's loss is *expected* above m, given those before. The source's blocks count as
    independent, as a held-out window of days does.

    The bound says that harm was done, and never takes it back. Whether it still is, is another question:
    harm stands until the mean of the RECENT newest blocks is at most the source's plus ``tolerance``.
    That can only take from what the bound says, so its promise is kept. Then the bettors begin anew with
    the next block: what they have won says nothing of the blocks to come. Each time costs capital that
    has to be won first, so where the source's bound holds a second false alarm comes after a first one
    with probability at most ``delta`` / 2 again.

    x is the mean loss of a block, counted up to that of a coin, or to ``most``, and divided by it; a
    block enters once its labels are final. Direction "up" is worse.

    >>> Harm("log_loss", tolerance=0.02).problems()
    ()
    """

    metric: str = "log_loss"
    _: KW_ONLY
    tolerance: float = 0.02
    delta: float = 0.05
    horizon: int = 90
    minimum_blocks: int = MINIMUM_BLOCKS
    most: float | None = None

    def problems(self) -> tuple[str, ...]:
        """Everything wrong with the arguments; empty when the test can judge."""
        found = (
            (
                self.metric in LOSS_OF_A_COIN or self.most is not None,
                f"metric {self.metric!r} is no loss of a probability, and has no most",
            ),
            (self.most is None or self.most > 0, f"most {self.most!r} is not above 0"),
            (self.tolerance >= 0, f"tolerance {self.tolerance!r} is below 0"),
            (0 < self.delta < 1, f"delta {self.delta!r} is not strictly between 0 and 1"),
            (self.horizon >= 1, f"horizon {self.horizon!r} is not at least one block"),
        )
        return tuple(problem for sound, problem in found if not sound)

    def judge(self, evidence: DriftEvidence) -> DriftResult:
        """Judge all current blocks since the window began, oldest first."""
        import numpy as np

        losses = evidence.losses
        if losses is None:
            return _without(0, 0, "not_tested", "Not tested: no block has final labels.")
        source = losses.loss[list(evidence.reference)]
        target = losses.loss[list(evidence.current)]
        source, target = source[np.isfinite(source)], target[np.isfinite(target)]
        if len(source) < self.minimum_blocks:
            return _without(
                len(target),
                len(source),
                "learning",
                f"Not tested: {len(source)} reference blocks have final labels;"
                f" {self.minimum_blocks} are needed.",
            )
        if not len(target):
            return _without(0, len(source), "not_tested", "Not tested: no label is final yet.")
        most = LOSS_OF_A_COIN[self.metric] if self.most is None else self.most
        upper, stands, begun = self._course(source, target, most)
        harmed = bool(stands[-1])
        over = bool(stands.any()) and not harmed
        counted = target[begun:] if begun < len(target) else target
        bettors = self._bettors(source / most)
        after = np.minimum(counted / most, 1.0)
        wealth = 1.0
        if begun < len(target):
            tolerated = upper + self.tolerance / most
            wealth = float(bettors.course(after, tolerated).max()) if tolerated < 1 else 0.0
        lower = bettors.lower_bound(after, self.delta / 2)
        recent = target[-RECENT:]
        return DriftResult(
            test="Harm",
            outcome="drifted" if harmed else "quiet",
            reason=(
                f"Over {len(counted)} blocks the mean {self.metric} is {counted.mean():.4g}, at least"
                f" {lower * most:.4g}; of the reference it is {source.mean():.4g}, at most"
                f" {upper * most:.4g}: {'above' if harmed else 'not above'} the tolerated increase"
                f" of {self.tolerance:.4g} at {1 - self.delta:.4g} confidence at any time."
                f"{_over(recent) if over else ''}"
            ),
            window_blocks=len(counted),
            reference_blocks=len(source),
            p_value=min(1.0, 2 / wealth) if wealth > 0 else 1.0,
            alpha=self.delta,
            per_column=(
                ColumnShift(
                    column=self.metric,
                    family="loss",
                    effect=float(counted.mean() - source.mean()),
                    p_value=None,
                    direction="up" if counted.mean() > source.mean() else "down",
                ),
            ),
            figures={
                "source": float(source.mean()),
                "source_at_most": upper * most,
                "target": float(counted.mean()),
                "target_at_least": lower * most,
                "recent": float(recent.mean()),
                "tolerance": self.tolerance,
                "capital": wealth,
                "over": float(over),
            },
        )

    def stands_after(self, source: "Floats", target: "Floats") -> "Flags":
        """Tell for each of the target's blocks whether harm stands when it is the newest.

        Both hold the mean losses of blocks, in the loss's unit and oldest first, all of them finite;
        ``source`` has two at least. It is what ``judge`` says, block by block.
        """
        most = LOSS_OF_A_COIN[self.metric] if self.most is None else self.most
        return self._course(source, target, most)[1]

    def _course(
        self, source: "Floats", target: "Floats", most: float
    ) -> "tuple[float, Flags, int]":
        """Return the source's upper bound, where harm stands, and the block the bettors bet from.

        The bound is on the scale of [0, 1]; the block is the target's number of them when harm was
        over with the newest one.
        """
        import numpy as np

        upper = upper_bound(np.minimum(source / most, 1.0), self.delta / 2)
        stands, begun = np.zeros(len(target), dtype=bool), 0
        tolerated = upper + self.tolerance / most
        if tolerated >= 1:
            return upper, stands, begun
        bettors, after = self._bettors(source / most), np.minimum(target / most, 1.0)
        back = _means_of_recent(target) <= source.mean() + self.tolerance
        while begun < len(target):
            reached = bettors.course(after[begun:], tolerated) >= 2 / self.delta
            if not reached.any():
                break
            first = begun + int(reached.argmax())
            if not back[first:].any():
                stands[first:] = True
                break
            end = first + int(back[first:].argmax())
            stands[first:end] = True
            begun = end + 1
        return upper, stands, begun

    def _bettors(self, source: "Floats") -> "Bettors":
        import numpy as np

        spread = float(np.minimum(source, 1.0).std(ddof=1))
        return Bettors(spread=spread, horizon=self.horizon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bettors:
    """Who bets against "the mean is at most m"; all of it is settled before the first value.

    ``spread`` is the standard deviation of blocks to expect, on the scale of the values in [0, 1].
    """

    spread: float
    horizon: int

    def course(self, values: "Floats", mean: float) -> "Floats":
        """Return the capital after each value, from 1.

        Half of the money bets from the first block, the other half begins in equal parts at every
        seventh block of the horizon; what has not begun is kept. Nobody begins after it.
        """
        import numpy as np

        steps = np.log1p(self._stakes(mean)[:, None] * (values - mean))
        grown = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
        later = range(START_EVERY, self.horizon, START_EVERY)
        first = 0.5 if later else 1.0
        total = np.zeros(grown.shape[1])
        for start in (0, *later):
            of_start = np.ones(grown.shape[1])
            if start < grown.shape[1]:
                won = np.minimum(grown[:, start:] - grown[:, [start]], LARGEST_LOG)
                of_start[start:] = np.exp(won).mean(axis=0)
            total += of_start * (0.5 / len(later) if start else first)
        return total[1:]

    def capital(self, values: "Floats", mean: float) -> float:
        """Return the greatest capital that was reached on the way, from 1."""
        return float(self.course(values, mean).max()) if len(values) else 1.0

    def lower_bound(self, values: "Floats", alpha: float) -> float:
        """Return the greatest mean in [0, 1] that the bettors have ruled out at level ``alpha``.

        At all times it is below the mean to expect, with probability 1 - ``alpha``.
        """
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            ruled_out = self.capital(values, middle) >= 1 / alpha
            low, high = (middle, high) if ruled_out else (low, middle)
        return low

    def _stakes(self, mean: float) -> "Floats":
        """Return the stakes that are best (Kelly, 1956) at each of RISES."""
        import numpy as np

        rises = np.asarray(RISES) * max(self.spread, LEAST_SPREAD)
        best = rises / (max(self.spread, LEAST_SPREAD) ** 2 + rises**2)
        stakes: Floats = np.minimum(best, LARGEST_STAKE / max(mean, LEAST_SPREAD))
        return stakes


def upper_bound(values: "Floats", alpha: float) -> float:
    """Return the least mean in [0, 1] that independent values rule out from above.

    The capital is the product of 1 - g (x - m), each stake g chosen from the values before it for
    the narrowest interval at this number of values.
    """
    import numpy as np

    number = np.arange(1, len(values) + 1)
    running = np.cumsum(values) / number
    squares = np.cumsum((values - running) ** 2)
    variance = (GUESSED_VARIANCE + np.concatenate([[0.0], squares[:-1]])) / number
    best = np.sqrt(2 * np.log(1 / alpha) / (len(values) * variance))

    def ruled_out(mean: float) -> bool:
        stakes = np.minimum(best, LARGEST_STAKE / (1 - mean))
        return bool(np.cumsum(np.log1p(stakes * (mean - values))).max() >= np.log(1 / alpha))

    low, high = 0.0, 1.0 - LEAST_SPREAD
    if not ruled_out(high):
        return 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if ruled_out(middle) else (middle, high)
    return high


def _means_of_recent(values: "Floats") -> "Floats":
    """Return for each value the mean of the RECENT newest ones up to it, or of all there are."""
    import numpy as np

    sums = np.concatenate([[0.0], np.cumsum(values)])
    number = np.arange(1, len(values) + 1)
    means: Floats = (sums[number] - sums[np.maximum(number - RECENT, 0)]) / np.minimum(
        number, RECENT
    )
    return means


def _over(recent: "Floats") -> str:
    return (
        f" Harm that stood before is over: the mean of the newest {len(recent)} is"
        f" {recent.mean():.4g}."
    )


def _without(window: int, reference: int, outcome: str, reason: str) -> DriftResult:
    return DriftResult(
        test="Harm",
        outcome="learning" if outcome == "learning" else "not_tested",
        reason=reason,
        window_blocks=window,
        reference_blocks=reference,
    )
