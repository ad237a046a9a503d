"""View problems: what is wrong with the views that a use case's feature view uses, or shares."""

from collections.abc import Iterator, Mapping

from pipelines.domain.contract import Table
from pipelines.domain.contract_problems import NAME, RESERVED_TABLES, problem
from pipelines.domain.feature_view import FeatureView
from pipelines.errors import Problem


def view_problems(
    view: FeatureView, declared: Mapping[str, Table], where: str
) -> Iterator[Problem]:
    """Yield every problem of a view's contracts and of the views that it uses, by their names.

    ``declared`` are the use case's tables by name: a shared view reads those, so it must know them
    as they are.
    """
    views = list(_all(view))
    for name in dict.fromkeys(one.name for one in views):
        if len({id(one) for one in views if one.name == name}) > 1:
            yield problem(
                f"{where}, uses",
                "each name once",
                f"two views called {name!r}",
                "Rename the function of one of them.",
            )
    told = set()
    for one in views:
        for table in (one.entity, *one.reads):
            found = declared.get(table.name)
            if found is None or _contract(found) == _contract(table) or table.name in told:
                continue
            told.add(table.name)
            yield problem(
                f"{where}, view {one.name!r}, table {table.name!r}",
                "the contract of the use case's table of that name",
                f"another {', '.join(_differing(found, table))}",
                "Import the table from where the view has it, or make the two alike.",
            )
        for used in one.uses:
            yield from _used(one, used, declared, where)


def _all(view: FeatureView) -> Iterator[FeatureView]:
    yield view
    for used in view.uses:
        yield from _all(used)


def _used(
    view: FeatureView, used: FeatureView, declared: Mapping[str, Table], where: str
) -> Iterator[Problem]:
    if used.entity.name != view.entity.name:
        yield problem(
            f"{where}, uses {used.name!r}",
            f"a view of {view.entity.name!r}",
            f"one of {used.entity.name!r}",
            "A view describes the entities that are asked for: use one of the same entity.",
        )
    taken = used.name in declared or used.name in RESERVED_TABLES
    if taken or not NAME.fullmatch(used.name):
        yield problem(
            f"{where}, uses {used.name!r}",
            "a lower-case name that no table has, nor 'asked' or 'labels'",
            repr(used.name),
            "Rename its function: queries read the view under that name.",
        )


def _contract(table: Table) -> dict[str, object]:
    return {
        "columns": tuple(table.columns),
        "key": tuple(table.key),
        "event_time": table.event_time,
    }


def _differing(first: Table, second: Table) -> list[str]:
    mine, other = _contract(first), _contract(second)
    return [name for name, value in mine.items() if value != other[name]]
