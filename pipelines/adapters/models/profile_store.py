"""The profile store: what champions are held against, and the profiles of their blocks."""

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.domain.drift.block_profile import ARRAYS, profiles_of
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Profiled

if TYPE_CHECKING:
    import pyarrow as pa

REFERENCE, PROFILES = "reference", "profiles"
"""Sequences of the two tables."""

TOLD = ("scored_for", "source", "published", "stale_tables", "estimated_loss")
"""Columns that a profile's row has beside its counts."""


def references(settings: Settings, use_case: str) -> dict[str, ModelReference]:
    """Return what each model version's blocks are held against, by version."""
    table = lake.references(settings, use_case)
    if not delta_tables.exists(table):
        return {}
    rows = delta_tables.read(table).to_pylist()
    return {row["model_version"]: ModelReference.from_json(row["reference"]) for row in rows}


def keep_reference(
    settings: Settings, use_case: str, reference: ModelReference, *, run: str
) -> None:
    """Write a model version's reference, once: one that is there is never changed."""
    import pyarrow as pa

    table = lake.references(settings, use_case)
    row = {
        "model_version": reference.model_version,
        "edges_digest": reference.digest,
        "reference": reference.to_json(),
    }

    def make(number: int) -> delta_tables.Change | None:
        if number and reference.model_version in references(settings, use_case):
            return None
        rows = pa.Table.from_pylist([row], schema=_reference_schema())
        return delta_tables.Change(rows=rows, metadata={"stage": "profile_reference", "run": run})

    delta_tables.commit_next(table, _reference_schema(), REFERENCE, make)


def profiles(settings: Settings, use_case: str, reference: ModelReference) -> list[Profiled]:
    """Return the profiles of a model's blocks by its own edges, oldest first."""
    table = lake.profiles(settings, use_case)
    if not delta_tables.exists(table):
        return []
    rows = delta_tables.read(table, where=_of(reference)).sort_by("block")
    found = profiles_of(rows, reference.edges)
    told = rows.select([*TOLD]).to_pylist()
    return [
        Profiled(
            block=profile.block,
            scored_for=row["scored_for"].astimezone(UTC),
            source=row["source"],
            published=row["published"],
            stale_tables=row["stale_tables"],
            estimated_loss=row["estimated_loss"],
            profile=profile,
        )
        for profile, row in zip(found, told, strict=True)
    ]


def keep(
    settings: Settings,
    use_case: str,
    reference: ModelReference,
    profiled: Sequence[Profiled],
    *,
    run: str,
) -> None:
    """Put profiles in place of those of the same blocks, in one commit; none changes nothing."""
    import pyarrow as pa

    if not profiled:
        return
    told = [
        {
            "model_version": reference.model_version,
            "edges_digest": reference.digest,
            **{name: getattr(one, name) for name in TOLD},
            **one.profile.as_row(),
        }
        for one in profiled
    ]
    rows = pa.Table.from_pylist(told, schema=_schema())
    blocks = ", ".join(delta_tables.quoted(one.block) for one in profiled)

    def make(number: int) -> delta_tables.Change | None:
        return delta_tables.Change(
            rows=rows,
            metadata={"stage": "monitor", "run": run, "blocks": len(profiled)},
            replace=f"{_of(reference)} and block in ({blocks})" if number else None,
        )

    delta_tables.commit_next(lake.profiles(settings, use_case), _schema(), PROFILES, make)


def _of(reference: ModelReference) -> str:
    return (
        f"model_version = {delta_tables.quoted(reference.model_version)} "
        f"and edges_digest = {delta_tables.quoted(reference.digest)}"
    )


def _reference_schema() -> "pa.Schema":
    import pyarrow as pa

    names = ("model_version", "edges_digest", "reference")
    return pa.schema([(name, pa.string()) for name in names])


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            ("model_version", text),
            ("edges_digest", text),
            ("block", text),
            ("scored_for", pa.timestamp("us", tz="UTC")),
            ("source", text),
            ("published", pa.bool_()),
            ("stale_tables", text),
            ("estimated_loss", pa.float64()),
            ("rows", pa.int64()),
            *(
                (name, pa.list_(pa.float64() if name == "moments" else pa.int64()))
                for name in ARRAYS
            ),
        ]
    )
