"""The catalogue: every feature view once, what it reads and says, and who uses it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pipelines.domain.feature_view import FeatureView, feature_digest
from pipelines.domain.shared_code import is_shared

Columns = Mapping[str, str]
"""Feature -> type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredView:
    """A view as one use case has it; ``columns`` is None where its query does not run there.

    ``through`` names the view that uses it, empty for the use case's own.
    """

    use_case: str
    view: FeatureView
    columns: Columns | None
    through: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CataloguedView:
    """A view that is the same, text and contracts, wherever it is used.

    ``used_by`` are use cases; ``taken`` maps a feature to those use cases whose own view has a
    feature of that name, which are those that hand it to their models.
    """

    name: str
    file: str
    entity: str
    reads: tuple[str, ...]
    uses: tuple[str, ...]
    digest: str
    columns: Columns | None
    used_by: tuple[str, ...]
    taken: Mapping[str, tuple[str, ...]]


def views_of(use_case: str, view: FeatureView) -> list[tuple[FeatureView, str]]:
    """Return the view and all that it uses, each with the name of the view that uses it."""
    found = [(view, "")]
    for used in view.uses:
        found += [(inner, through or view.name) for inner, through in views_of(use_case, used)]
    return found


def catalogue(declared: Iterable[DeclaredView]) -> list[CataloguedView]:
    """Return the views by name; those of one name that differ are several."""
    found: dict[tuple[str, str], list[DeclaredView]] = {}
    own: dict[str, Columns] = {}
    for one in declared:
        if not one.through:
            own[one.use_case] = one.columns or {}
        # Without the label, which is a use case's own.
        found.setdefault((one.view.name, feature_digest(one.view, None)), []).append(one)
    return [
        _catalogued(digest, same, own) for (_, digest), same in sorted(found.items(), key=_by_name)
    ]


def _by_name(item: tuple[tuple[str, str], object]) -> tuple[str, str]:
    return item[0]


def _catalogued(
    digest: str, same: Sequence[DeclaredView], own: Mapping[str, Columns]
) -> CataloguedView:
    view, columns = same[0].view, next((one.columns for one in same if one.columns), None)
    users = tuple(dict.fromkeys(one.use_case for one in same))
    return CataloguedView(
        name=view.name,
        file=_file(view),
        entity=view.entity.name,
        reads=tuple(table.name for table in view.tables[1:]),
        uses=tuple(used.name for used in view.uses),
        digest=digest,
        columns=columns,
        used_by=users,
        taken={name: tuple(user for user in users if name in own[user]) for name in columns or {}},
    )


def _file(view: FeatureView) -> str:
    """Return where the view is declared, below the folder of use cases."""
    module = view.function.__module__
    if is_shared(module):
        return module.replace(".", "/") + ".py"
    return PurePath(view.function.__code__.co_filename).name
