"""Parquet: a strict reader that takes a value as the contract's type only where nothing is lost."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipelines.adapters.parsing.set_aside import as_json, changed_column, nothing, rejected, unfit
from pipelines.domain.contract import Table, arrow_type
from pipelines.domain.delivery import LocalFile, ParsedFile, ParsedPart
from pipelines.domain.header import match_header
from pipelines.errors import FileRefused, Problem

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PART_BYTES = 16 << 20
"""Values in one part, by what the footer says of their size."""

MOST_ROWS = 1 << 17
"""Rows in one part, where they are small."""

LARGEST_WHOLE = 2**53
"""A double holds every whole number up to here, and not beyond (IEEE 754)."""

ENCRYPTED = b"PARE"
"""Last bytes of a file whose footer is encrypted (parquet-format, Encryption.md)."""

AGAIN = "Deliver the file again, whole, under a new name."


def read(file: LocalFile, table: Table) -> ParsedFile:
    """Return every row of the file, typed as the contract says, or set aside with its reason.

    ``_row`` numbers the rows from 1. Only the contract's columns are read. A value fits where the
    contract's type holds it exactly: 1.0 is an integer, 1.5 is none. Raises FileRefused where the
    file is not whole, or has a column of a type whose values never fit; times without a zone are
    such, since nobody knows their offset.
    """
    import pyarrow as pa

    where = f"landing/{file.delivery.name}"
    try:
        opened = _opened(file)
        schema = opened.schema_arrow
        header = match_header(schema.names, table, where)
    except (pa.ArrowException, OSError, ValueError):  # their texts may quote the file
        raise _damaged(file, where) from None
    columns = {name: schema.field(place).name for place, name in enumerate(header.columns) if name}
    wrong = [
        Problem(
            where=f"{where}, column {name!r}",
            expected=_welcome(table.types[name]),
            found=str(schema.field(columns[name]).type)[:80],
            fix=f"Cast it at the source, or change the contract of table {table.name!r}.",
        )
        for name in columns
        if not _may_fit(schema.field(columns[name]).type, table.types[name])
    ]
    if wrong:
        raise FileRefused(*wrong)
    return ParsedFile(
        ignored_columns=header.ignored, parts=_parts(opened, columns, file, table, where)
    )


def _opened(file: LocalFile) -> "pq.ParquetFile":
    import pyarrow.parquet as pq

    return pq.ParquetFile(file.path, page_checksum_verification=True)


def _parts(
    opened: "pq.ParquetFile", columns: Mapping[str, str], file: LocalFile, table: Table, where: str
) -> Iterator[ParsedPart]:
    import pyarrow as pa

    landed = 0
    with opened:
        batches = opened.iter_batches(
            batch_size=_rows_at_once(opened), columns=list(columns.values()), use_threads=False
        )
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError):  # their texts may quote the file
                raise _damaged(file, where) from None
            if batch is None:
                break
            if batch.num_rows:
                yield _part(batch, columns, landed, table, where)
            landed += batch.num_rows
        groups = sum(group.num_rows for group in _row_groups(opened))
        if not landed == groups == opened.metadata.num_rows:
            raise _damaged(file, where)


def _rows_at_once(opened: "pq.ParquetFile") -> int:
    """Return how many rows make a part, by the row group whose rows are largest."""
    sizes = [group.total_byte_size // max(group.num_rows, 1) for group in _row_groups(opened)]
    largest = max(sizes, default=0)
    return max(1, min(MOST_ROWS, PART_BYTES // max(largest, 1)))


def _row_groups(opened: "pq.ParquetFile") -> "Iterator[pq.RowGroupMetaData]":
    return (opened.metadata.row_group(n) for n in range(opened.metadata.num_row_groups))


def _part(
    batch: "pa.RecordBatch", columns: Mapping[str, str], landed: int, table: Table, where: str
) -> ParsedPart:
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pa.arange(landed + 1, landed + batch.num_rows + 1)
    found: dict[str, pa.Array] = {}
    arrays: dict[str, pa.Array] = {}
    misfits: dict[str, pa.BooleanArray] = {}
    for name, column_type in table.types.items():
        if name not in columns:
            arrays[name] = pa.nulls(batch.num_rows, arrow_type(column_type))
            continue
        found[name] = _decoded(batch.column(columns[name]))
        arrays[name], mask = _cast(found[name], column_type)
        if mask is not None:
            misfits[name] = mask
    rows = pa.table({**arrays, "_row": numbers})
    if not misfits:
        return ParsedPart(landed=batch.num_rows, rows=rows, rejected=nothing(), unparsed=nothing())
    if table.on_changed_column == "refuse":
        raise changed_column(where, numbers, misfits, table)
    bad = _either(misfits)
    texts = pa.table({name: _texts(array.filter(bad)) for name, array in found.items()})
    return ParsedPart(
        landed=batch.num_rows,
        rows=rows.filter(pc.invert(bad)),
        rejected=rejected(
            numbers.filter(bad),
            {name: mask.filter(bad) for name, mask in misfits.items()},
            table,
            as_json(texts),
        ),
        unparsed=nothing(),
    )


def _may_fit(found: "pa.DataType", column_type: str) -> bool:
    """Tell whether any value but a null of type ``found`` can be one of the contract type."""
    import pyarrow.types as kinds

    if kinds.is_dictionary(found):
        found = found.value_type
    number = kinds.is_integer(found) or kinds.is_floating(found)
    fits = {
        "string": _is_text(found),
        "int64": number or (kinds.is_decimal(found) and found.scale == 0),
        "double": number,
        "bool": kinds.is_boolean(found),
        "date": kinds.is_date(found),
        "timestamp[UTC]": kinds.is_timestamp(found) and found.tz is not None,
    }
    return bool(kinds.is_null(found) or fits[column_type])


def _welcome(column_type: str) -> str:
    """Return the types of which values may fit, in words."""
    return {
        "string": "text",
        "int64": "whole numbers",
        "double": "integers or floating-point numbers (a decimal is not held exactly)",
        "bool": "booleans",
        "date": "dates",
        "timestamp[UTC]": "timestamps with a time zone",
    }[column_type]


def _is_text(found: "pa.DataType") -> bool:
    import pyarrow.types as kinds

    return bool(
        kinds.is_string(found) or kinds.is_large_string(found) or kinds.is_string_view(found)
    )


def _decoded(array: "pa.Array") -> "pa.Array":
    """Return the same values in a type that Arrow computes with."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    return array.cast(pa.float32()) if pa.types.is_float16(array.type) else array


def _cast(array: "pa.Array", column_type: str) -> "tuple[pa.Array, pa.BooleanArray | None]":
    """Return the values as the contract's type, null where one does not fit, and the mask of those."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = arrow_type(column_type)
    mask = _lossy(array, kind)
    if mask is not None:
        array = pc.if_else(mask, pa.scalar(None, array.type), array)
    values = array if array.type == kind else array.cast(kind)
    odd = unfit(values, column_type)
    if odd is None:
        return values, mask
    values = pc.if_else(odd, pa.scalar(None, kind), values)
    return values, odd if mask is None else pc.or_(mask, odd)


def _lossy(array: "pa.Array", kind: "pa.DataType") -> "pa.BooleanArray | None":
    """Return the mask of values that ``kind`` does not hold exactly; None when it holds all."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    found = array.type
    if _is_text(found):
        return _where_refused(array, pa.large_binary(), pa.large_string())
    if found == kind or array.null_count == len(array):
        return None
    if kinds.is_decimal(found):
        return _where_refused(array, found, kind)
    mask = None
    if kinds.is_uint64(found):
        mask = pc.greater(array, pa.scalar(2**63 - 1, found))
    if kinds.is_floating(kind) and kinds.is_integer(found) and found.bit_width == 64:
        mask = pc.greater(array, pa.scalar(LARGEST_WHOLE, found))
        if kinds.is_int64(found):
            mask = pc.or_(mask, pc.less(array, -LARGEST_WHOLE))
    if kinds.is_floating(found) and kinds.is_integer(kind):
        mask = pc.greater_equal(pc.abs(array.cast(pa.float64())), float(LARGEST_WHOLE))
    back = array.cast(kind, safe=False).cast(found, safe=False)
    changed = pc.not_equal(back, array)
    mask = changed if mask is None else pc.or_(mask, changed)
    mask = pc.fill_null(mask, False)  # noqa: FBT003 - pyarrow's own order
    return mask if mask.true_count else None


def _where_refused(
    array: "pa.Array", through: "pa.DataType", kind: "pa.DataType"
) -> "pa.BooleanArray | None":
    """Return the mask of values whose cast raises, by halving: cheap where few do."""
    import pyarrow as pa

    try:
        array.cast(through).cast(kind)
    except pa.ArrowInvalid:
        if len(array) == 1:
            return pa.array([True])
        half = len(array) // 2
        halves = (array[:half], array[half:])
        found = [_where_refused(part, through, kind) for part in halves]
        empty = [pa.repeat(pa.scalar(False), len(part)) for part in halves]  # noqa: FBT003 - a value
        return pa.concat_arrays(
            [m if m is not None else e for m, e in zip(found, empty, strict=True)]
        )
    return None


def _either(masks: Mapping[str, "pa.BooleanArray"]) -> "pa.BooleanArray":
    from functools import reduce

    import pyarrow.compute as pc

    return reduce(pc.or_, masks.values())


def _texts(array: "pa.Array") -> "pa.Array":
    """Return values as texts, each as it is in the file."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    if kinds.is_timestamp(array.type):
        naive = array.cast(pa.timestamp(array.type.unit)).cast(pa.string())
        return pc.binary_join_element_wise(naive, "Z", "")
    if _is_text(array.type):
        raw = array.cast(pa.large_binary()).to_pylist()
        return pa.array(
            [None if v is None else v.decode(errors="backslashreplace") for v in raw], pa.string()
        )
    return array.cast(pa.string())


def _damaged(file: LocalFile, where: str) -> FileRefused:
    with file.path.open("rb") as stream:
        stream.seek(max(0, file.path.stat().st_size - len(ENCRYPTED)))
        encrypted = stream.read() == ENCRYPTED
    found = "an encrypted one" if encrypted else "one that cannot be read as it says it is written"
    fix = "Deliver it in the clear, under a new name." if encrypted else AGAIN
    return FileRefused(Problem(where=where, expected="a whole Parquet file", found=found, fix=fix))
