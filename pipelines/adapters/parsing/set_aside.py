"""Set aside: which cells do not fit a contract, and the records that hold them, with reasons."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.domain.contract import Table, arrow_type
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    import pyarrow as pa

PADDING = " \t"
"""What pyarrow's CSV reader strips from a number or a date, and from nothing else."""

BOOLEANS = ("0", "1", "false", "False", "FALSE", "true", "True", "TRUE")
"""What pyarrow's CSV reader takes for a bool; its cast from text takes more."""

_DAY = (
    r"[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_HOUR, _MINUTE = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_TIME = (
    rf"{_HOUR}(?::{_MINUTE}(?::{_MINUTE}(?:\.[0-9]{{1,6}})?)?)?(?:Z|[+-]{_HOUR}(?::?{_MINUTE})?)"
)
_LEAP_DAY = "[0-9]{4}-02-29"

SURE = {
    "int64": "^-?0*[0-9]{1,18}$",
    "double": r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$",
    "date": f"^{_DAY}$",
    "timestamp[UTC]": f"^{_DAY}[ T]{_TIME}$",
}
"""Texts that pyarrow casts without fail, as RE2 patterns."""

PERHAPS = {
    "int64": "^-?0*[0-9]{19}$",
    "double": "^$.",
    "date": f"^{_LEAP_DAY}$",
    "timestamp[UTC]": f"^{_LEAP_DAY}[ T]{_TIME}$",
}
"""Texts outside SURE that pyarrow may cast. All others are misfits, hexadecimal integers among them:
pyarrow would take 0xFFFFFFFFFFFFFFFF for -1."""

MOMENTS = {
    "date": (-719162, 2932896),
    "timestamp[UTC]": (-719162 * 86_400_000_000, 2932897 * 86_400_000_000 - 1),
}
"""First and last moment of the years 1 to 9999 (Python's), in days or microseconds since 1970."""

SAMPLE = 2048
"""Texts looked at first; where half of them repeat, a dictionary costs less than the patterns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Texts cast to a contract type: ``values`` are null at ``misfits``, a mask (None: all fit)."""

    values: "pa.Array"
    misfits: "pa.BooleanArray | None"


def cast_texts(texts: "pa.Array", column_type: str) -> Cast:
    """Cast texts to a contract type as pyarrow's CSV reader would, less what ``unfit`` names.

    Numbers and dates may be padded with spaces and tabs; a null stays null and fits.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column_type == "string":
        return Cast(values=texts, misfits=None)
    if column_type == "bool":
        known = pc.is_in(texts, value_set=pa.array([*BOOLEANS, None], pa.string()))
        return _cast_but(texts, column_type, _any(pc.invert(known)))
    if column_type != "timestamp[UTC]":
        texts = pc.utf8_trim(texts, PADDING)
    return _cast_but(texts, column_type, _misfits(texts, column_type))


def unfit(values: "pa.Array | pa.ChunkedArray", column_type: str) -> "pa.BooleanArray | None":
    """Return the mask of typed values that no contract type has; None when there is none.

    These are doubles that are not finite (nan, inf, 1e400) and moments outside the years 1 to 9999,
    which Python cannot hold. A null fits.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column_type == "double":
        finite = pc.is_finite(values)
        if pc.all(finite).as_py() is not False:
            return None
        return _whole(pc.fill_null(pc.invert(finite), False))  # noqa: FBT003 - pyarrow's own order
    if column_type not in MOMENTS:
        return None
    low, high = (pa.scalar(end, values.type) for end in MOMENTS[column_type])
    ends = pc.min_max(values)
    if not ends["min"].is_valid or (
        ends["min"].value >= low.value and ends["max"].value <= high.value
    ):
        return None
    outside = pc.or_(pc.less(values, low), pc.greater(values, high))
    return _whole(pc.fill_null(outside, False))  # noqa: FBT003 - pyarrow's own order


def rejected(
    numbers: "pa.Array",
    misfits: Mapping[str, "pa.BooleanArray"],
    table: Table,
    payloads: "pa.Array",
) -> "pa.Table":
    """Return records with cells that do not fit: ``_row``, ``_failed``, ``_payload``.

    ``misfits`` holds a mask per column with misfits. All arguments have a value per record set
    aside; each record has a misfit in at least one column.
    """
    import numpy as np
    import pyarrow as pa

    names = [name for name in table.column_names if name in misfits]
    reasons = pa.array([_reason(name, table) for name in names], pa.string())
    masks = [misfits[name].to_numpy(zero_copy_only=False) for name in names]
    failed = np.stack(masks, axis=1) if masks else np.zeros((len(numbers), 0), bool)
    ends = np.concatenate([[0], np.cumsum(failed.sum(axis=1))])
    lists = pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()), reasons.take(pa.array(np.nonzero(failed)[1]))
    )
    return _table(numbers, lists, payloads)


def unparsed(numbers: Sequence[int], records: Sequence[str], reason: str) -> "pa.Table":
    """Return records that cannot be told apart into cells; the payload is ``{"line": record}``."""
    import pyarrow as pa

    reasons = pa.ListArray.from_arrays(
        pa.array(range(len(records) + 1), pa.int32()), pa.repeat(reason, len(records))
    )
    payloads = as_json(pa.table({"line": pa.array(records, pa.string())}))
    return _table(pa.array(numbers, pa.int64()), reasons, payloads)


def nothing() -> "pa.Table":
    """Return the table of no record set aside."""
    return unparsed([], [], "")


def as_json(texts: "pa.Table") -> "pa.Array":
    """Return each row of a table of texts as a JSON object; null is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts: list[pa.Array | str] = []
    for name, column in zip(texts.column_names, texts.columns, strict=True):
        parts += [f"{', ' if parts else '{'}{json.dumps(name)}: ", _as_json_texts(_whole(column))]
    if not parts or not texts.num_rows:
        return pa.array(["{}"] * texts.num_rows, pa.string())
    return pc.binary_join_element_wise(*parts, "}", "")


def changed_column(
    where: str, numbers: "pa.Array", misfits: Mapping[str, "pa.BooleanArray"], table: Table
) -> FileRefused:
    """Return the refusal of a file for its first misfit, which it names but does not show.

    ``numbers`` and ``misfits`` have a value per record, in the file's order.
    """
    import pyarrow.compute as pc

    first = {name: pc.index(mask, True).as_py() for name, mask in misfits.items()}
    index = min(place for place in first.values() if place >= 0)
    name = next(name for name in table.column_names if first.get(name) == index)
    return FileRefused(
        Problem(
            where=f"{where}, record {numbers[index].as_py()}, column {name!r}",
            expected=f"a value of type {table.types[name]}",
            found="another",
            fix="Mend the source and deliver the file again under a new name, or let table "
            f"{table.name!r} set such rows aside: on_changed_column='quarantine'.",
        )
    )


def _cast_but(texts: "pa.Array", column_type: str, misfits: "pa.BooleanArray | None") -> Cast:
    import pyarrow as pa
    import pyarrow.compute as pc

    if misfits is not None:
        texts = pc.if_else(misfits, pa.scalar(None, pa.string()), texts)
    values = texts.cast(arrow_type(column_type))
    odd = unfit(values, column_type)
    if odd is None:
        return Cast(values=values, misfits=misfits)
    values = pc.if_else(odd, pa.scalar(None, values.type), values)
    return Cast(values=values, misfits=odd if misfits is None else pc.or_(misfits, odd))


def _misfits(texts: "pa.Array", column_type: str) -> "pa.BooleanArray | None":
    """Return the mask of texts that cannot be cast; those that say the same are judged once."""
    import pyarrow.compute as pc

    sample = texts[:SAMPLE]
    if len(texts) == len(sample) or 2 * len(sample.unique()) > len(sample):
        return _any(_uncastable(texts, column_type))
    coded = texts.dictionary_encode()
    few = _any(_uncastable(coded.dictionary, column_type))
    if few is None:
        return None
    return pc.fill_null(few.take(coded.indices), False)  # noqa: FBT003 - pyarrow's own order


def _uncastable(texts: "pa.Array", column_type: str) -> "pa.BooleanArray":
    """Return the mask of texts that cannot be cast; the patterns leave few that must be tried."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sure = pc.match_substring_regex(texts, SURE[column_type])
    unsure = pc.fill_null(pc.invert(sure), False)  # noqa: FBT003 - pyarrow's own order
    if not unsure.true_count:
        return unsure
    rest = texts.filter(unsure)
    perhaps = rest.filter(pc.match_substring_regex(rest, PERHAPS[column_type])).unique()
    castable = pa.concat_arrays([pa.array([], pa.string()), *_castable(perhaps, column_type)])
    misfit = pc.invert(pc.is_in(rest, value_set=castable))
    return pc.replace_with_mask(unsure, unsure, misfit)


def _castable(texts: "pa.Array", column_type: str) -> "list[pa.Array]":
    """Return the texts that can be cast, by halving: cheap where nearly all can."""
    import pyarrow as pa

    try:
        texts.cast(arrow_type(column_type))
    except pa.ArrowInvalid:
        half = len(texts) // 2
        if not half:
            return []
        return _castable(texts[:half], column_type) + _castable(texts[half:], column_type)
    return [texts]


def _any(mask: "pa.BooleanArray") -> "pa.BooleanArray | None":
    return mask if mask.true_count else None


def _as_json_texts(texts: "pa.Array") -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    written = pc.binary_join_element_wise('"', texts, '"', "")
    special = pc.fill_null(pc.match_substring_regex(texts, r'["\\\x00-\x1f]'), False)  # noqa: FBT003 - pyarrow's own order
    if special.true_count:
        escaped = [json.dumps(text) for text in texts.filter(special).to_pylist()]
        written = pc.replace_with_mask(written, special, pa.array(escaped, pa.string()))
    return pc.fill_null(written, "null")


def _reason(name: str, table: Table) -> str:
    return f"contract:type:{name}:{arrow_type(table.types[name])}"


def _whole(values: "pa.Array | pa.ChunkedArray") -> "pa.Array":
    import pyarrow as pa

    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _table(numbers: "pa.Array", reasons: "pa.Array", payloads: "pa.Array") -> "pa.Table":
    import pyarrow as pa

    schema = pa.schema(
        [("_row", pa.int64()), ("_failed", pa.list_(pa.string())), ("_payload", pa.string())]
    )
    return pa.Table.from_arrays([numbers, reasons, payloads], schema=schema)
