"""Refits: the same candidate taught again - other seeds, fewer days, shuffled labels, the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.domain.block_estimate import BlockEstimate, mean_estimate
from pipelines.domain.examination import CurvePoint, Reproduction, SeedLoss
from pipelines.domain.metrics import auc, block_means, row_losses
from pipelines.domain.prediction_kinds import BINARY, Kind
from pipelines.domain.training import FeatureColumns, answers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Teach: TypeAlias = Callable[[pa.Table, np.ndarray, int], Any]
    """Fits the candidate on rows and labels with a seed, and returns the model."""

REFIT_ROWS = 50_000
"""Rows that a refit for seeds or the learning curve learns from at most, taken evenly (decision)."""

SHUFFLED_ROWS = 10_000
"""The same for shuffled labels, which teach nothing whatever their number: all refits but the one
that reproduces the model learn from at most 350,000 rows together."""

SHUFFLES = 4
"""Times that labels are shuffled: a single shuffle may by luck resemble what is true."""

OTHER_SEEDS = 4
"""Models taught alike but for their seed (see ``StableAcrossSeeds``)."""

CURVE = (0.25, 0.5)
"""Shares of the training blocks, the latest, that the learning curve has points for beside all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """Rows in canonical order, their labels, and the block of each."""

    rows: "pa.Table"
    label: "np.ndarray"
    blocks: Sequence[str]

    def part(self, taken: "np.ndarray") -> "Lesson":
        """Return the rows at these places."""
        import pyarrow as pa

        return Lesson(
            rows=self.rows.take(pa.array(taken)).combine_chunks(),
            label=self.label[taken],
            blocks=[self.blocks[place] for place in taken],
        )

    def thinned(self, most: int) -> "Lesson":
        """Return at most so many of the rows, taken evenly; itself when it has no more."""
        import numpy as np

        step = -(-len(self.label) // most)
        return self if step <= 1 else self.part(np.arange(0, len(self.label), step))


def seed_losses(
    teach: "Teach",
    training: Lesson,
    held_out: Lesson,
    columns: FeatureColumns,
    *,
    seed: int,
    kind: Kind = BINARY,
) -> tuple[SeedLoss, ...]:
    """Return the held-out loss of OTHER_SEEDS models that differ in their seed alone."""
    taught = training.thinned(REFIT_ROWS)
    return tuple(
        SeedLoss(
            seed=other,
            loss=_loss(teach(taught.rows, taught.label, other), held_out, columns, kind),
        )
        for other in range(seed + 1, seed + 1 + OTHER_SEEDS)
    )


def learning_curve(
    teach: "Teach",
    training: Lesson,
    held_out: Lesson,
    columns: FeatureColumns,
    *,
    seed: int,
    said: "np.ndarray",
    kind: Kind = BINARY,
) -> tuple[CurvePoint, ...]:
    """Return the held-out loss after the latest quarter, half and whole of the training blocks.

    The whole is the challenger itself, which says ``said``. A part whose labels are all the same
    teaches nothing and is left out.
    """
    import numpy as np

    names = sorted(set(training.blocks))
    block = np.asarray(training.blocks)
    found = []
    for share in CURVE:
        latest = names[-max(1, round(share * len(names))) :]
        part = training.part(np.flatnonzero(block >= latest[0])).thinned(REFIT_ROWS)
        if part.label.min() == part.label.max():
            continue
        model = teach(part.rows, part.label, seed)
        found.append(
            CurvePoint(
                blocks=len(latest),
                rows=len(part.label),
                loss=_loss(model, held_out, columns, kind),
            )
        )
    whole = float(row_losses(kind.loss, held_out.label, said).mean())
    found.append(CurvePoint(blocks=len(names), rows=len(training.label), loss=whole))
    return tuple(found)


def shuffled_skill(
    teach: "Teach",
    training: Lesson,
    held_out: Lesson,
    columns: FeatureColumns,
    *,
    seed: int,
    baseline: "np.ndarray",
    kind: Kind = BINARY,
) -> tuple[BlockEstimate | None, tuple[float, ...]]:
    """Return by how much models taught shuffled labels are better than the baseline.

    The first is the average over SHUFFLES of them, by block, None below two blocks; then each one's
    mean. An honest model learns what its shuffle resembles by luck, a little less than nothing on
    average.
    """
    import numpy as np

    taught, generator = training.thinned(SHUFFLED_ROWS), np.random.default_rng(seed)
    usual = row_losses(kind.loss, held_out.label, baseline)
    gained = []
    for _ in range(SHUFFLES):
        model = teach(taught.rows, generator.permutation(taught.label), seed)
        said = answers(model, held_out.rows, columns, kind.answer)
        gained.append(usual - row_losses(kind.loss, held_out.label, said))
    _, rows, means = block_means(np.mean(gained, axis=0), held_out.blocks)
    return mean_estimate(means, rows), tuple(float(each.mean()) for each in gained)


def reproduced(
    teach: "Teach",
    training: Lesson,
    columns: FeatureColumns,
    *,
    seed: int,
    probe: "pa.Table",
    expected: "np.ndarray",
    kind: Kind = BINARY,
) -> Reproduction:
    """Fit again on all training rows, and compare the probe predictions bit by bit."""
    import numpy as np

    said = answers(teach(training.rows, training.label, seed), probe, columns, kind.answer)
    return Reproduction(
        rows=len(said),
        differing=int((said.view("i8") != expected.view("i8")).sum()),
        largest=float(np.max(np.abs(said - expected), initial=0.0)),
    )


def ranked_alone(
    held_out: Lesson, training: Lesson, columns: FeatureColumns, kind: Kind = BINARY
) -> dict[str, float]:
    """Return each feature's own held-out AUC, folded to at least 0.5; none where all are positive, or none is.

    Where the label is a number, rows count as positive that are above its median in training.

    A number ranks by its value, a missing one before all others; a text by the share of positives
    that it had in training, an unknown one by the share of all.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    happened, learned = (_positive(one.label, training, kind) for one in (held_out, training))
    if happened.min() == happened.max():
        return {}
    found = {}
    for name in columns.numeric:
        value = held_out.rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
        value = np.nan_to_num(value, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        # Ranks, because an AUC takes finite scores only.
        found[name] = np.unique(value, return_inverse=True)[1].astype(np.float64)
    for name in columns.categorical:
        texts = pc.fill_null(training.rows[name], "").to_numpy(zero_copy_only=False)
        levels, code = np.unique(texts.astype(str), return_inverse=True)
        shares = np.bincount(code, weights=learned) / np.bincount(code)
        share_of = dict(zip(levels.tolist(), shares.tolist(), strict=True))
        usual = float(learned.mean())
        asked = pc.fill_null(held_out.rows[name], "").to_pylist()
        found[name] = np.asarray([share_of.get(text, usual) for text in asked])
    ranked = {name: auc(happened, score) for name, score in found.items()}
    return {name: max(value, 1.0 - value) for name, value in ranked.items()}


def _positive(label: "np.ndarray", training: Lesson, kind: Kind) -> "np.ndarray":
    """Return the label as 0 and 1."""
    import numpy as np

    if kind.answer == "probability":
        return label
    return np.asarray(label > np.median(training.label), dtype=np.int8)


def _loss(model: Any, held_out: Lesson, columns: FeatureColumns, kind: Kind) -> float:  # noqa: ANN401 - any estimator
    said = answers(model, held_out.rows, columns, kind.answer)
    return float(row_losses(kind.loss, held_out.label, said).mean())
