"""The prediction store: current predictions per window, the generations before, and refused rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, partitions, pinned_files
from pipelines.adapters.delta.delta_commits import Commit
from pipelines.adapters.delta.partitions import Held, Layout, Swap
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models.prediction_layouts import (
    CURRENT,
    WINDOW,
    layout,
    refuse_other_kind,
    refused_layout,
)
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.scoring import PartFile, WindowPlan
from pipelines.domain.slots import SLOT, scored_for, slot_of, window_name
from pipelines.errors import PlanOvertaken, Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.delta.pinned_files import PinnedFile

__all__ = [
    "CURRENT", "Standing", "current", "current_run_key", "layers", "layout", "publish",
    "refused_layout", "rows", "standing", "standing_refused", "window_name",
]  # fmt: skip

REASON = "replaced_because"
"""Partition column of the history."""

BITS = 15
"""Hex digits of a run key that a transaction's version holds: 60 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The current generation of one window, as the table's log tells it."""

    window: str
    run_key: str
    generation: int
    rows: int
    files: tuple[str, ...]

    @property
    def scored_for(self) -> datetime:
        """Return the scoring time of the window."""
        return scored_for(self.window)


def standing(settings: Settings, use_case: str) -> list[Standing]:
    """Return the current generation of every window that has predictions, sorted by window.

    Read from the table's log: no file of it is opened.
    """
    table = lake.predictions(settings, use_case)
    if not delta_tables.exists(table):
        return []
    found: dict[str, list[PinnedFile]] = {}
    for file in pinned_files.pinned(table):
        found.setdefault(file.partition[WINDOW], []).append(file)
    return [_standing(window, files) for window, files in sorted(found.items())]


def rows(
    settings: Settings, use_case: str, windows: Iterable[Standing], columns: Sequence[str]
) -> "pa.Table":
    """Return columns of the champion's predictions of ``standing`` windows, in their order.

    Only the files of these windows are opened. Raises VersionGone for what was replaced so long ago
    that it is there no more.
    """
    paths = [path for window in windows for path in window.files]
    return pinned_files.rows(lake.predictions(settings, use_case), paths, columns)


def current(settings: Settings, use_case: str, window: str) -> Standing | None:
    """Return the current generation of one window; None when it has no predictions."""
    held = partitions.held(lake.predictions(settings, use_case, slot_of(window)))
    files = held.files(WINDOW, window) if held else []
    return _standing(window, files) if files else None


def current_run_key(settings: Settings, use_case: str, window: str) -> str | None:
    """Return the run key of a window's current predictions; None when there are none."""
    found = current(settings, use_case, window)
    return found.run_key if found else None


def standing_refused(settings: Settings, use_case: str, window: str) -> tuple[str, ...]:
    """Return the files of the rows that a window's current generation refused.

    Known by its transactions, so that a window in which every row was refused has them, too.
    """
    slot = slot_of(window)
    held = partitions.held(lake.refused_predictions(settings, use_case, slot))
    said = layers(settings, use_case, slot).newest(window)
    if held is None or said is None:
        return ()
    files = held.files(WINDOW, window)
    return tuple(file.path for file in files if bits(file.partition["run_key"]) == said)


def _standing(window: str, files: "Sequence[PinnedFile]") -> Standing:
    said = files[0].partition
    return Standing(
        window=window,
        run_key=said["run_key"],
        generation=int(said["generation"]),
        rows=sum(file.rows for file in files),
        files=tuple(file.path for file in files),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """How often each window was published, and which scoring times its rows come from.

    A late rescore lies on the scoring at the window's own time, or on an earlier late one. Each is
    known by the transactions ``scored:<window>@<as_of>`` (60 bits of its run key) and
    ``layer:<window>@<as_of>`` (the generation it made), so that the same run again, in whatever
    order, is found done.
    """

    numbers: Mapping[str, int]
    scored: Mapping[str, int]
    made: Mapping[str, int]

    def below(self, window: str, as_of: datetime) -> int:
        """Return the generation that a late rescore at ``as_of`` lies on; 0 where there is none."""
        start = f"layer:{window}@"
        made = {
            datetime.fromisoformat(n.removeprefix(start)): m
            for n, m in self.made.items()
            if n.startswith(start)
        }
        return max((number for moment, number in made.items() if moment < as_of), default=0)

    def newest(self, window: str) -> int | None:
        """Return the bits of the run key that stands; None where an earlier release wrote it."""
        number, start = self.numbers.get(f"score:{window}", 0), f"layer:{window}@"
        for name, made in self.made.items():
            if made == number and name.startswith(start):
                return self.scored[f"scored:{name.removeprefix('layer:')}"]
        return None

    def after(self, window: str, written: Mapping[str, int]) -> "Layers":
        """Return what the log says once a window was published once more with these transactions."""
        number = self.numbers.get(f"score:{window}", 0) + 1
        return Layers(
            numbers={**self.numbers, f"score:{window}": number},
            scored={**self.scored, **{n: v for n, v in written.items() if n.startswith("scored:")}},
            made={**self.made, **{n: v for n, v in written.items() if n.startswith("layer:")}},
        )


def layers(settings: Settings, use_case: str, slot: str = SLOT) -> Layers:
    """Return what the log says of every publication of a slot's windows."""
    table = lake.predictions(settings, use_case, slot)
    return Layers(
        numbers=delta_tables.transactions_of(table, "score:"),
        scored=delta_tables.transactions_of(table, "scored:"),
        made=delta_tables.transactions_of(table, "layer:"),
    )


def bits(run_key: str) -> int:
    """Return the part of a run key that a transaction keeps."""
    return int(run_key[:BITS], 16)


def is_published(settings: Settings, use_case: str, window: WindowPlan) -> bool:
    """Tell whether this very plan of a window was published. Raises PlanOvertaken as ``publish``."""
    held = partitions.held(lake.predictions(settings, use_case, slot_of(window.window)))
    return held is not None and _is_done(held, use_case, window)


def publish(
    settings: Settings,
    use_case: str,
    window: WindowPlan,
    *,
    files: Sequence[PartFile],
    refused: Sequence[PartFile],
    key: "Sequence[pa.Field]",
    valued: bool = False,
    metadata: Mapping[str, object],
) -> Commit:
    """Make files the current predictions of a window, in one commit; done already is a no-op.

    What they replace is in the history before, with the reason, and refused rows are in their table
    before. Raises PlanOvertaken when another run published the window since the plan was made: its
    predictions may be newer than these. Raises LakeError when the table's rows have no value and
    these have, or the reverse.
    """
    slot = slot_of(window.window)
    table = lake.predictions(settings, use_case, slot)
    history = lake.prediction_history(settings, use_case, slot)
    chosen = layout(key, valued=valued)
    refuse_other_kind(table, use_case, valued=valued)

    def decide(held: Held) -> Swap | None:
        if _is_done(held, use_case, window):
            return None
        old = held.files(WINDOW, window.window)
        if old:
            _keep(history, table, chosen, old, window)
            failpoint("score.between_history_and_predictions")
        if refused:
            aside = lake.refused_predictions(settings, use_case, slot)
            _set_aside(aside, refused_layout(key), window, refused, metadata)
            failpoint("score.between_refused_and_predictions")
        generation = window.number + 1
        partition = {
            WINDOW: window.window,
            "run_key": window.run_key,
            "generation": str(generation),
        }
        return Swap(
            files=[(file, partition) for file in files],
            replace=(WINDOW, window.window),
            transactions={_sequence(window): generation, **window.layers},
            metadata={
                **metadata,
                "window": window.window,
                "run_key": window.run_key,
                "generation": generation,
                "reason": window.reason,
            },
        )

    commit = partitions.swap(table, chosen, decide)
    failpoint("score.after_predictions")
    return commit


def _sequence(window: WindowPlan) -> str:
    return f"score:{window.window}"


def _is_done(held: Held, use_case: str, window: WindowPlan) -> bool:
    if all(held.transaction(name) == number for name, number in window.layers.items()):
        return True
    if (number := held.transaction(_sequence(window))) != window.number:
        raise PlanOvertaken(
            Problem(
                where=f"predictions {use_case}, window {window.window}",
                expected=f"{window.number} publications, as when this run was planned",
                found=f"{number}: another run scored it since",
                fix="Its predictions stand, and nothing of this window was published. Waiting does "
                "not help: clear task plan with all after it, or run score again.",
            )
        )
    return False


def _keep(
    history: Folder,
    table: Folder,
    chosen: Layout,
    old: "Sequence[PinnedFile]",
    window: WindowPlan,
) -> None:
    """Add a replaced generation to the history, once; a killed run may have done so already."""
    import pyarrow as pa

    done = {f"history:{window.window}": window.number}
    there = delta_tables.transaction_versions(history, done)
    if there.get(f"history:{window.window}", 0) >= window.number:
        return
    kept = Layout(
        schema=chosen.schema.append(pa.field(REASON, pa.string())),
        partition_by=(*CURRENT, REASON),
    )
    because = {REASON: window.reason}
    files = [
        (partitions.copied(table, file, history), {**file.partition, **because}) for file in old
    ]

    def decide(held: Held) -> Swap | None:
        if held.transaction(f"history:{window.window}") >= window.number:
            return None
        return Swap(
            files=files,
            replace=None,
            transactions=done,
            metadata={"stage": "score", "window": window.window, "reason": window.reason},
        )

    partitions.swap(history, kept, decide)


def _set_aside(
    table: Folder,
    chosen: Layout,
    window: WindowPlan,
    files: Sequence[PartFile],
    metadata: Mapping[str, object],
) -> None:
    """Add the refused rows of one run key, once; they count while it is the window's current one."""
    name = f"refused:{window.window}:{window.run_key[:32]}"
    partition = {WINDOW: window.window, "run_key": window.run_key}

    def decide(held: Held) -> Swap | None:
        if held.transaction(name):
            return None
        return Swap(
            files=[(file, partition) for file in files],
            replace=None,
            transactions={name: 1},
            metadata={**metadata, "window": window.window, "run_key": window.run_key},
        )

    partitions.swap(table, chosen, decide)
