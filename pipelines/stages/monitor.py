"""Monitor: settle labels, measure performance on final ones, watch feeds and volume."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.landing.feed_watch import watch
from pipelines.adapters.models import known, label_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.feeds import FeedFinding
from pipelines.domain.performance import BlockPerformance, measure, volume_drop
from pipelines.domain.sql_text import delta_moment
from pipelines.domain.windows import block_name
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something an operator should know: what, and what to do."""

    kind: Literal["feed", "volume"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """Labels settled by this run, performance per block, and what was found.

    ``feed`` are the findings of kind "feed" as values; ingest mostly told them before.
    """

    settled: int
    blocks: tuple[BlockPerformance, ...]
    findings: tuple[Finding, ...]
    feed: tuple[FeedFinding, ...] = ()

    def describe(self) -> str:
        """Return a few lines for the log and the terminal."""
        measured = [block for block in self.blocks if block.outcome == "measured"]
        counts = {
            name: sum(getattr(block, name) for block in self.blocks)
            for name in ("predictions", "final", "unlabelled", "pending")
        }
        lines = [
            f"{self.settled:,} labels settled; of {counts['predictions']:,} predictions "
            f"{counts['final']:,} have a final label, {counts['unlabelled']:,} never will, "
            f"{counts['pending']:,} are pending; {len(measured)} of {len(self.blocks)} blocks measured"
        ]
        lines += [f"  {finding.kind}: {finding.text}" for finding in self.findings]
        return "\n".join(lines)


def monitor(use_case: UseCase, settings: Settings, *, as_of: datetime, run: str) -> Monitored:
    """Measure every block of current predictions with what was known at ``as_of``.

    Only final labels count; a block with too few is "too few", never a number. Running it again
    with nothing new changes nothing.
    """
    parts = TrainedUseCase.of(use_case)
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    entity = parts.features.entity
    states = tables.label_states(entity, as_of)
    settled = label_ledger.settle(settings, use_case.name, states, as_of=as_of, run=run)
    predictions = _predictions(settings, use_case.name, as_of)
    blocks = measure(
        predictions,
        states,
        key=tuple(entity.key),
        blocks=[block_name(t, parts.scoring.timezone) for t in _scored_for(predictions)],
        minimum_labels=use_case.monitoring.minimum_labels,
    )
    _save(settings, use_case.name, blocks, as_of=as_of, run=run)
    feed = _feed(use_case, settings, as_of)
    return Monitored(
        settled=settled,
        blocks=tuple(blocks),
        findings=tuple(_findings(use_case, feed, blocks)),
        feed=feed,
    )


def _predictions(settings: Settings, use_case: str, as_of: datetime) -> "pa.Table | None":
    path = lake.predictions(settings, use_case)
    if not delta_tables.exists(path):
        return None
    where = f"slot = 'champion' and scored_for <= {delta_moment(as_of)}"
    rows = delta_tables.read(path, where=where)
    return rows.sort_by([("scored_for", "ascending")]) if rows.num_rows else None


def _scored_for(predictions: "pa.Table | None") -> list[datetime]:
    return [] if predictions is None else predictions["scored_for"].to_pylist()


def _feed(use_case: UseCase, settings: Settings, as_of: datetime) -> tuple[FeedFinding, ...]:
    ends, owner = use_case.ends_before, use_case.owner
    return tuple(
        found
        for table in use_case.tables
        for found in watch(
            settings, use_case.name, table, owner=owner, as_of=as_of, ends_before=ends
        )
    )


def _findings(
    use_case: UseCase, feed: tuple[FeedFinding, ...], blocks: list[BlockPerformance]
) -> list[Finding]:
    found = [Finding(kind="feed", text=f"{item.table}: {item.text}") for item in feed]
    if drop := volume_drop([b.predictions for b in blocks], use_case.monitoring.volume_drop):
        found.append(Finding(kind="volume", text=f"block {blocks[-1].block}: {drop}"))
    return found


def _save(
    settings: Settings, use_case: str, blocks: list[BlockPerformance], *, as_of: datetime, run: str
) -> None:
    """Replace the performance table by these blocks unless it says the same already."""
    if not blocks:
        return
    import pyarrow as pa

    table = lake.performance(settings, use_case)
    rows = pa.Table.from_pylist([block.as_row() for block in blocks], schema=_schema())

    def make(number: int) -> delta_tables.Change | None:
        current: list[dict[str, Any]] = delta_tables.read(table).to_pylist() if number else []
        ordered = sorted(current, key=lambda row: row["block"])
        if ordered == rows.to_pylist():
            return None
        return delta_tables.Change(
            rows=rows,
            metadata={"stage": "monitor", "run": run, "as_of": as_of.isoformat()},
            replace="true",
        )

    delta_tables.commit_next(table, _schema(), "performance", make)


def _schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("block", pa.string()),
            ("outcome", pa.string()),
            ("predictions", pa.int64()),
            ("final", pa.int64()),
            ("unlabelled", pa.int64()),
            ("pending", pa.int64()),
            ("positives", pa.int64()),
            ("log_loss", pa.float64()),
            ("auc", pa.float64()),
            ("model_versions", pa.string()),
        ]
    )
