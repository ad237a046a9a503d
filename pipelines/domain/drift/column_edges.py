"""Column edges: into which bins the values of every column are counted, fixed by the reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.errors import HeadframeError, Problem

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MOST_CUTS = 49
"""Cuts between the bins of a number: 50 bins of about one mass, 2 % of the reference each."""

MOST_LEVELS = 30
"""Levels of a category with a count of their own; rarer known ones are counted together."""

RANK_STEPS = 10_000
"""Steps of a rank: whole numbers, so that sums of products are exact and merge in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericEdges:
    """Bins of a number: bin i holds [cuts[i - 1], cuts[i]), the first and last are open.

    ``minimum`` and ``maximum`` are those of the reference; ``centre`` and ``scale`` (its mean and
    standard deviation) are what moments are counted about. ``ranks`` is the middle rank of each
    bin in the reference, from -RANK_STEPS / 2 to RANK_STEPS / 2.
    """

    column: str
    cuts: tuple[float, ...]
    minimum: float
    maximum: float
    centre: float
    scale: float
    ranks: tuple[int, ...]

    @property
    def width(self) -> int:
        """Counts kept: the bins, and the missing values."""
        return len(self.cuts) + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEdges:
    """Levels of a category, most frequent first, and the ``others`` that the reference knows.

    ``ranks`` is the middle rank of each level and then of the others, from -RANK_STEPS / 2 to
    RANK_STEPS / 2; empty where nothing says which level comes before which.
    """

    column: str
    levels: tuple[str, ...]
    others: tuple[str, ...] = ()
    ranks: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Counts kept: the levels, the others, values never seen, and the missing ones."""
        return len(self.levels) + 3


Edges: TypeAlias = NumericEdges | CategoryEdges


@dataclass(frozen=True)  # no slots: cached properties live in the instance
class ReferenceEdges:
    """All columns of a profile, made once from the reference and never changed.

    ``ranked`` names the columns whose rank correlations with each other are kept, ``segments`` the
    categories of which every level has counts of its own. The counts of all columns lie one after
    the other in a vector of ``width`` whole numbers. Raises HeadframeError for a name that is not
    among the columns, of a number among the segments and of a category without ranks among the
    ranked.
    """

    columns: tuple[Edges, ...]
    ranked: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        found = {edges.column: edges for edges in self.columns}
        problems = [
            Problem(
                where=f"profile of {name!r}",
                expected=f"a {what} column of the profile to keep its {part}",
                found=type(found[name]).__name__ if name in found else "no such column",
                fix=f"Choose from {', '.join(n for n, edges in found.items() if fits(edges))}.",
            )
            for names, fits, what, part in (
                (self.ranked, _has_ranks, "numeric or ordered", "rank correlations"),
                (self.segments, _is_category, "text", "segments"),
            )
            for name in names
            if name not in found or not fits(found[name])
        ]
        if problems:
            raise HeadframeError(*problems)

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where the counts of each column lie in the vector of all counts."""
        found, start = {}, 0
        for edges in self.columns:
            found[edges.column] = slice(start, start + edges.width)
            start += edges.width
        return found

    @cached_property
    def width(self) -> int:
        """Return the length of the vector of all counts."""
        return sum(edges.width for edges in self.columns)

    @cached_property
    def segment_names(self) -> tuple[tuple[str, str], ...]:
        """Return (column, level) of every segment: the levels with a count of their own."""
        return tuple(
            (edges.column, level)
            for edges in self.columns
            if isinstance(edges, CategoryEdges) and edges.column in self.segments
            for level in edges.levels
        )

    def of(self, column: str) -> Edges:
        """Return the edges of one column. Raises KeyError."""
        return {edges.column: edges for edges in self.columns}[column]


def _has_ranks(edges: Edges) -> bool:
    return bool(edges.ranks)


def _is_category(edges: Edges) -> bool:
    return isinstance(edges, CategoryEdges)


def edges_of(
    rows: "pa.Table",
    *,
    columns: Sequence[str],
    ranked: Sequence[str] = (),
    segments: Sequence[str] = (),
    ordered_by: str | None = None,
) -> ReferenceEdges:
    """Return the edges of the named columns as the reference ``rows`` have them.

    Cuts are quantiles that are values of the reference (inverse of the empirical distribution), so
    a number with few values has a bin for each. The levels of a ranked category are ordered by
    their means of the number ``ordered_by``, such as the model's prediction. Raises HeadframeError
    for a column that is neither numbers (or booleans) nor text.

    >>> import pyarrow as pa
    >>> rows = pa.table({"miles": [1.0, 2.0, 3.0, 4.0], "origin": ["EWR", "JFK", "EWR", None]})
    >>> edges = edges_of(rows, columns=["miles", "origin"])
    >>> edges.of("miles").cuts, edges.of("origin").levels
    ((1.0, 2.0, 3.0, 4.0), ('EWR', 'JFK'))
    """
    found: list[Edges] = []
    for name in columns:
        values = rows[name].combine_chunks()
        if not is_text(values.type):
            found.append(_number(name, values))
            continue
        order = None
        if ordered_by is not None and name in ranked:
            order = as_numbers(ordered_by, rows[ordered_by].combine_chunks())
        found.append(_category(name, values, order))
    return ReferenceEdges(tuple(found), tuple(ranked), tuple(segments))


def is_text(kind: "pa.DataType") -> bool:
    """Tell whether a column of this Arrow type is counted by levels."""
    import pyarrow as pa

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(value)
        or pa.types.is_large_string(value)
        or pa.types.is_string_view(value)
    )


def as_numbers(name: str, values: "pa.Array") -> "NDArray[np.float64]":
    """Return numbers or booleans as float64, missing ones as NaN. Raises HeadframeError."""
    import numpy as np
    import pyarrow as pa

    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise HeadframeError(
            Problem(
                where=f"profile of {name!r}",
                expected="numbers, booleans or text",
                found=str(kind),
                fix="Leave the column out, or make a number or text of it in the feature function.",
            )
        )
    numbers: NDArray[np.float64] = values.to_numpy(zero_copy_only=False).astype(
        np.float64, copy=False
    )
    return numbers


def _number(name: str, values: "pa.Array") -> NumericEdges:
    import numpy as np

    every = as_numbers(name, values)
    finite = np.sort(every[np.isfinite(every)])
    if not len(finite):
        return NumericEdges(
            column=name, cuts=(), minimum=0.0, maximum=0.0, centre=0.0, scale=1.0, ranks=(0,)
        )
    shares = np.arange(1, MOST_CUTS + 1) / (MOST_CUTS + 1)
    cuts = np.unique(np.quantile(finite, shares, method="inverted_cdf"))
    rows_in = np.diff(np.r_[0, np.searchsorted(finite, cuts, side="left"), len(finite)])
    return NumericEdges(
        column=name,
        cuts=tuple(cuts.tolist()),
        minimum=float(finite[0]),
        maximum=float(finite[-1]),
        centre=float(finite.mean()),
        scale=float(finite.std()) or 1.0,
        ranks=_middle_ranks(rows_in),
    )


def _middle_ranks(rows: "NDArray[Any]") -> tuple[int, ...]:
    """Return the middle ranks of groups of so many rows, the lowest first."""
    import numpy as np

    middle = (np.cumsum(rows) - rows / 2) / max(rows.sum(), 1)
    return tuple(np.rint((middle - 0.5) * RANK_STEPS).astype(int).tolist())


def _category(
    name: str,
    values: Any,  # noqa: ANN401 - an Arrow array
    order: "NDArray[np.float64] | None",
) -> CategoryEdges:
    import numpy as np

    encoded = as_codes(values)
    codes = encoded.indices.drop_null().to_numpy(zero_copy_only=False)
    levels = encoded.dictionary.to_pylist()
    rows_of = np.bincount(codes, minlength=len(levels)).tolist()
    seen = sorted(
        ((level, rows) for level, rows in zip(levels, rows_of, strict=True) if rows),
        key=lambda pair: (-pair[1], pair[0]),
    )
    names = tuple(level for level, _ in seen)
    top, others = names[:MOST_LEVELS], names[MOST_LEVELS:]
    ranks = () if order is None else _ranks_by(order, encoded, (*top, *others), groups=len(top))
    return CategoryEdges(column=name, levels=top, others=tuple(sorted(others)), ranks=ranks)


def _ranks_by(
    order: "NDArray[np.float64]",
    encoded: Any,  # noqa: ANN401 - an Arrow array
    names: Sequence[str],
    *,
    groups: int,
) -> tuple[int, ...]:
    """Return the rank of each of the first levels and of all others, by their means of ``order``."""
    import numpy as np

    place = {level: min(number, groups) for number, level in enumerate(names)}
    groups_of = np.asarray(
        [place.get(level, -1) for level in encoded.dictionary.to_pylist()] or [-1]
    )
    known = encoded.is_valid().to_numpy(zero_copy_only=False) & np.isfinite(order)
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    group = groups_of[codes[known]]
    rows_in = np.bincount(group, minlength=groups + 1)
    mean = np.bincount(group, weights=order[known], minlength=groups + 1) / np.maximum(rows_in, 1)
    sorted_by = np.argsort(mean, kind="stable")
    ranks = np.empty(groups + 1, int)
    ranks[sorted_by] = _middle_ranks(rows_in[sorted_by])
    # A group of which nothing is known has the middle rank, as what is missing has.
    ranks[rows_in == 0] = 0
    return tuple(ranks.tolist())


def as_codes(values: Any) -> Any:  # noqa: ANN401 - an Arrow array
    """Return an array of text as dictionary codes; one that has them is returned as it is."""
    import pyarrow as pa

    return values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
