"""JSON lines: records decoded fast by their expected shape, and one line judged with care."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

from pipelines.adapters.parsing.set_aside import PADDING, PERHAPS, SURE, cast_texts, unfit
from pipelines.domain.contract import Table, arrow_type
from pipelines.domain.header import normal

if TYPE_CHECKING:
    import pyarrow as pa

NO_OBJECT = "contract:json"
"""The reason against a line that is no JSON object."""

BLANK = b" \t\r"
"""What JSON calls white space, within a line."""

MOST_LETTERS = 20
"""Letters of an unknown key shown in a reason: it may be data."""

LONGEST_NAME = 255
"""Letters of a key; a longer one is data, and sets its record aside."""

LARGEST_WHOLE = 2**53
"""A double holds every whole number up to here, and not beyond (IEEE 754)."""

MOST_DIGITS = 4000
"""Digits of a whole number that Python reads by default (up to 4,300); no contract type holds many."""

WRITTEN_AS_TEXT = ("date", "timestamp[UTC]")
"""Contract types that JSON has no values of."""

SPECIAL = re.compile(r'["\\\x00-\x1f]')
"""Letters of a key that the decoder cannot be told to expect; its records are judged singly."""

UNFIT = object()
"""Stands for a number that no contract type holds."""

_arrow_type = lru_cache(arrow_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a careful look at one line found: values by column, or reasons against it.

    ``keys`` are as the file spells them, less what is no name; None: the line is no JSON object.
    ``misfits`` names the columns whose value has another type.
    """

    keys: Sequence[str] | None
    values: Mapping[str, object]
    misfits: Sequence[str]
    reasons: Sequence[str]
    payload: str


@dataclass(frozen=True, slots=True)
class Shape:
    """The keys expected of a record, and a decoder that takes no others.

    ``columns`` holds the contract column of each key, None where it is ignored; ``values`` gets the
    value of each key, in the same order.
    """

    columns: Mapping[str, str | None]
    decode: Callable[[bytes], object]
    values: Sequence[Callable[[object], Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """Decoded records: an array for each contract column, and the columns that any record has.

    ``doubtful`` are the indices of records that must be judged: their place in the arrays is void.
    """

    arrays: "Sequence[pa.Array]"
    present: frozenset[str]
    doubtful: Sequence[int]


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object, in order; a key may be there twice."""


_PLAIN = json.JSONDecoder(object_pairs_hook=_Pairs)


def shape_of(columns: Mapping[str, str | None], table: Table) -> Shape:
    """Return the shape of records with these keys, of which None marks those to ignore."""
    from msgspec import UNSET, Meta, Raw, defstruct
    from msgspec.json import Decoder

    whole: Any = Annotated[int, Meta(ge=-LARGEST_WHOLE, le=LARGEST_WHOLE)]
    kinds = {
        "int64": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
        "double": whole | float,
        "bool": bool,
    }
    types = table.types
    known = {key: name for key, name in columns.items() if not SPECIAL.search(key)}
    fields: list[tuple[str, Any, Any]] = [
        (f"f{n}", kinds.get(types[name], str) | None if name else Raw, UNSET)
        for n, name in enumerate(known.values())
    ]
    names = {f"f{n}": key for n, key in enumerate(known)}
    record = defstruct("Record", fields, rename=names, forbid_unknown_fields=True, gc=False)
    return Shape(known, Decoder(record).decode, [attrgetter(name) for name in names])


def decoded(block: bytes, shape: Shape) -> tuple[list[bytes], list[object], bytes]:
    """Return a block's lines, the record of each or None, and the text of those with a record."""
    from msgspec import DecodeError

    lines = block.removesuffix(b"\n").split(b"\n")
    with suppress(DecodeError, UnicodeDecodeError, RecursionError):
        return lines, list(map(shape.decode, lines)), block
    lines = [line for line in lines if line.strip(BLANK)]
    records: list[object] = []
    for line in lines:
        try:
            records.append(shape.decode(line))
        except (DecodeError, UnicodeDecodeError, RecursionError):
            records.append(None)
    sound = (line for line, record in zip(lines, records, strict=True) if record is not None)
    return lines, records, b"\n".join(sound)


def typed(records: Sequence[object], text: bytes, shape: Shape, table: Table) -> Typed:
    """Return the columns of records decoded from ``text``."""
    from msgspec import UNSET

    types, count = table.types, len(records)
    arrays: dict[str, pa.Array] = {}
    present: set[str] = set()
    doubtful: set[int] = set()
    colons = 0
    for (key, name), value in zip(shape.columns.items(), shape.values, strict=True):
        values = list(map(value, records))
        if name is None:
            ignored = [bytes(raw) for raw in values if raw is not UNSET]
            absent = count - len(ignored)
            colons += sum(raw.count(b":") for raw in ignored)
        else:
            texts, absent = _as_json_has(values, types[name])
            arrays[name], misfits = _cast(texts, types[name])
            colons += _colons_of(texts)
            doubtful.update(misfits)
            if absent < count:
                present.add(name)
        colons += (count - absent) * (1 + key.count(":"))
    # Each key brings one colon, and the others lie in the values above, unless a key is there
    # twice: the decoder keeps its last value without a word. An escaped colon hides.
    hidden = rb"\u003a" in text or rb"\u003A" in text
    ignoring = None in shape.columns.values()
    if hidden or _colons(text) != colons or (ignoring and not _is_text(text)):
        doubtful.update(range(count))
    return Typed(
        arrays=[arrays[name] for name in table.column_names],
        present=frozenset(present),
        doubtful=sorted(doubtful),
    )


def judged(line: bytes, table: Table) -> Judged:
    """Look at one line alone: the authority on what is wrong with it."""
    constants: list[str] = []
    long: list[str] = []

    def constant(name: str) -> object:
        constants.append(name)
        return UNFIT

    def whole(digits: str) -> object:
        if len(digits) <= MOST_DIGITS:
            return int(digits)
        long.append(digits)
        return UNFIT

    text = line.decode(errors="backslashreplace").strip()
    try:
        if len(line) <= MOST_DIGITS and b"NaN" not in line and b"Infinity" not in line:
            pairs = _PLAIN.decode(line.decode())
        else:
            pairs = json.loads(
                line.decode(), object_pairs_hook=_Pairs, parse_int=whole, parse_constant=constant
            )
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, _Pairs):
        return Judged(keys=None, values={}, misfits=(), reasons=(NO_OBJECT,), payload=text)
    types = table.types
    values: dict[str, object] = {}
    misfits, others = [], []
    for key, value in pairs:
        name = column_of(key)
        if name in values:
            others.append(f"contract:duplicate:{name}")
        elif name is not None and name in types:
            values[name] = value
            if not _fits(value, types[name]):
                misfits.append(name)
        elif name is None or table.on_new_column == "refuse":
            others.append(f"contract:column:{_cut(key)}")
    wrong = [f"contract:type:{name}:{arrow_type(types[name])}" for name in misfits]
    reasons = list(dict.fromkeys([*wrong, *others]))
    if constants:
        reasons = reasons or [NO_OBJECT]
    if constants or long:  # a payload can be read by every reader of JSON
        text = json.dumps({"line": text})
    keys = [key for key, _ in pairs if column_of(key) is not None]
    return Judged(keys=keys, values=values, misfits=misfits, reasons=reasons, payload=text)


def column_of(key: str) -> str | None:
    """Return a key as contracts write names; None for one that is no name, but data."""
    return _normal(key) if len(key) <= LONGEST_NAME else None


def array_of(values: list[Any], column_type: str) -> "pa.Array":
    """Return values that fit as an array of a contract type; raises ValueError where one does not."""
    array, misfits = _cast(_as_json_has(values, column_type)[0], column_type)
    if misfits:
        raise ValueError(f"values were judged to be of type {column_type} and are not: {misfits}")
    return array


def _as_json_has(values: list[Any], column_type: str) -> "tuple[pa.Array, int]":
    """Return the values, dates still as texts, and how many are of a key that is absent."""
    import pyarrow as pa
    from msgspec import UNSET

    kind = pa.string() if column_type in WRITTEN_AS_TEXT else _arrow_type(column_type)
    try:
        return pa.array(values, kind), 0
    except pa.ArrowException:  # Arrow knows no absent key
        there = [None if value is UNSET else value for value in values]
        return pa.array(there, kind), values.count(UNSET)


def _cast(texts: "pa.Array", column_type: str) -> "tuple[pa.Array, list[int]]":
    """Return the values with dates as dates, and the indices of misfits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column_type not in WRITTEN_AS_TEXT:
        return texts, []
    try:
        array = texts.cast(_arrow_type(column_type))
        misfits = unfit(array, column_type)
    except pa.ArrowInvalid:
        cast = cast_texts(texts, column_type)
        array, misfits = cast.values, cast.misfits
    return array, [] if misfits is None else pc.indices_nonzero(misfits).to_pylist()


def _fits(value: object, column_type: str) -> bool:
    """Tell whether a JSON value is one of the contract type, and a null always is."""
    if isinstance(value, str):
        return column_type not in ("int64", "double", "bool") and _fits_text(value, column_type)
    if isinstance(value, bool):
        return column_type == "bool"
    if isinstance(value, int):
        whole = column_type == "double" and abs(value) <= LARGEST_WHOLE
        return whole or (column_type == "int64" and -(2**63) <= value < 2**63)
    return value is None or (
        isinstance(value, float) and column_type == "double" and isfinite(value)
    )


def _fits_text(value: str, column_type: str) -> bool:
    if column_type == "string":
        return _is_unicode(value)
    text = value.strip(PADDING) if column_type == "date" else value
    if re.fullmatch(SURE[column_type], text):
        if "0001" < text[:4] < "9999":  # else an offset may lead out of Python's years
            return True
    elif not re.fullmatch(PERHAPS[column_type], text):
        return False
    return not _cast(_as_json_has([value], column_type)[0], column_type)[1]


def _is_unicode(text: str) -> bool:
    """Tell whether a text holds no half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


@lru_cache(4096)
def _normal(key: str) -> str | None:
    return normal(key) if _is_unicode(key) else None


def _cut(key: str) -> str:
    return key[:MOST_LETTERS].encode(errors="replace").decode()


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _colons(text: "bytes | pa.Buffer") -> int:
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(":")))


def _colons_of(texts: "pa.Array") -> int:
    """Count the colons in an array of texts; other arrays have none."""
    import pyarrow as pa

    letters = texts.buffers()[-1] if pa.types.is_string(texts.type) else None
    return _colons(letters) if letters else 0
