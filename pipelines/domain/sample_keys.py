"""Sample keys: a key that two samples share is of the same types in both, or they cannot be joined."""

from collections.abc import Sequence

from pipelines.domain.sample_table import SampleTable
from pipelines.errors import Problem, SettingsError


def agreed(
    one: SampleTable, other: SampleTable, key: Sequence[str]
) -> tuple[SampleTable, SampleTable]:
    """Return both samples with the columns of ``key``, which both have, of the same types.

    Whole numbers that the other sample has among texts, such as 1502 beside 01501, are texts in
    both. Raises SettingsError where types differ otherwise, or where texts have no number in common.
    """
    differ = [name for name in key if one.column(name).type != other.column(name).type]
    if not differ:
        return one, other
    types = {name: {one.column(name).type, other.column(name).type} for name in differ}
    apart = [name for name in differ if types[name] != {"string", "int64"}]
    if not apart:
        made = _as_texts(one, other, differ), _as_texts(other, one, differ)
        if _meet(*made, key):
            return made
    raise SettingsError(*(_problem(one, other, name) for name in apart or differ))


def _as_texts(sample: SampleTable, other: SampleTable, names: Sequence[str]) -> SampleTable:
    numbers = [name for name in names if sample.column(name).type == "int64"]
    return sample.with_texts(numbers, f"numbers here, but not in {other.name}, which has it too")


def _meet(one: SampleTable, other: SampleTable, key: Sequence[str]) -> bool:
    keys = (sample.rows.select(list(key)) for sample in (one, other))
    left, right = (rows.group_by(list(key)).aggregate([]) for rows in keys)
    return bool(left.join(right, list(key), join_type="inner").num_rows)


def _problem(one: SampleTable, other: SampleTable, name: str) -> Problem:
    found = [
        f"{sample.column(name).type} in {sample.file}"
        + (f" ({hint})" if (hint := sample.column(name).hint) else "")
        for sample in (one, other)
    ]
    return Problem(
        where=f"key {name!r}",
        expected="values of one type, some of them in both files",
        found=", ".join(found),
        fix="Deliver the column in the same form in both, or name another key by --key.",
    )
