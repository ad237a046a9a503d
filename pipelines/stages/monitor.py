"""Monitor: settle labels, measure performance on final ones, watch inputs, losses, feeds and volume."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from pipelines.adapters.landing.feed_watch import watch
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import (
    champion_losses,
    champion_profiles,
    known,
    label_ledger,
    monitoring_ledger,
    performance_store,
    prediction_store,
)
from pipelines.adapters.models.champion import Champion
from pipelines.adapters.models.performance_store import Closing
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import one_thread
from pipelines.domain.digest import digest_of
from pipelines.domain.expected_value import VALUE
from pipelines.domain.features import KnownTables, feature_digest
from pipelines.domain.feeds import FeedFinding
from pipelines.domain.monitored import answers_after
from pipelines.domain.monitoring_report import watched_of
from pipelines.domain.new_blocks import judge_new
from pipelines.domain.outputs import ranked_list
from pipelines.domain.performance import MEASURE, BlockPerformance, measure, volume_drop
from pipelines.domain.realised_loss import realised_loss
from pipelines.domain.watch_losses import judge_losses, losses_from
from pipelines.domain.watched import Watched, no_champion
from pipelines.errors import ChampionUnresolved, DeclarationError, VersionGone
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.adapters.models.prediction_store import Standing

SCORED_FOR = "scored_for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something an operator should know: what, and what to do."""

    kind: Literal["feed", "volume"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """Labels settled by this run, performance per block, what the tests said, and what was found.

    ``feed`` are the findings of kind "feed" as values; ingest mostly told them before.
    """

    settled: int
    blocks: tuple[BlockPerformance, ...]
    findings: tuple[Finding, ...]
    watched: Watched
    feed: tuple[FeedFinding, ...] = ()

    def describe(self) -> str:
        """Return a few lines for the log and the terminal."""
        measured = [block for block in self.blocks if block.outcome == "measured"]
        counts = {
            name: sum(getattr(block, name) for block in self.blocks)
            for name in ("predictions", "final", "unlabelled", "pending")
        }
        lines = [
            self.watched.verdict,
            f"{self.settled:,} labels settled; of {counts['predictions']:,} predictions "
            f"{counts['final']:,} have a final label, {counts['unlabelled']:,} never will, "
            f"{counts['pending']:,} are pending; {len(measured)} of {len(self.blocks)} blocks measured",
        ]
        lines += [f"  {finding.kind}: {finding.text}" for finding in self.findings]
        return "\n".join(lines)


def monitor(
    use_case: UseCase, settings: Settings, *, as_of: datetime, run: str, filled_in: bool = False
) -> Monitored:
    """Measure every block of current predictions with what was known at ``as_of``.

    Only final labels count; a block with too few is "too few", never a number. Running it again
    with nothing new changes nothing. What goes into the champion is watched; a time that is
    ``filled_in`` is about the one that it had.
    """
    parts = TrainedUseCase.of(use_case)
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    entity = parts.features.entity
    states = tables.label_states(entity, as_of)
    settled = label_ledger.settle(settings, use_case.name, states, as_of=as_of, run=run)
    blocks, closings = _measured(use_case, settings, tables, states, as_of=as_of, run=run)
    watched = _watch(
        use_case,
        settings,
        tables,
        states,
        blocks,
        closings=closings,
        as_of=as_of,
        run=run,
        filled_in=filled_in,
    )
    feed = _feed(use_case, settings, as_of)
    return Monitored(
        settled=settled,
        blocks=tuple(blocks),
        findings=tuple(_findings(use_case, feed, blocks)),
        watched=watched,
        feed=feed,
    )


def monitored_until(use_case: UseCase, settings: Settings) -> datetime | None:
    """Return the latest time (UTC) as of which something was measured; None before the first."""
    return performance_store.last_as_of(settings, use_case.name)


@one_thread()
def _watch(
    use_case: UseCase,
    settings: Settings,
    tables: KnownTables,
    states: "pa.Table",
    blocks: list[BlockPerformance],
    *,
    closings: Mapping[str, Closing],
    as_of: datetime,
    run: str,
    filled_in: bool,
) -> Watched:
    """Judge every block of the champion that was not judged as it is now, and its losses.

    On one thread: what is computed is small, so that two would wait for each other more than they
    compute, and sums come out the same on every machine.
    """
    name, monitoring = use_case.name, use_case.monitoring
    without = partial(Watched.without, alarms_per_quarter=monitoring.alarms_per_quarter)
    try:
        present = champions.resolve(settings, name)
        champion = champions.at(settings, name, as_of) if filled_in else present
    except ChampionUnresolved as error:
        # Scoring fails closed and is what tells a person; labels are measured all the same.
        return without(str(error).splitlines()[0])
    if champion is None or (not filled_in and champion.promoted.as_of > as_of):
        return without(no_champion(as_of))
    try:
        return _judged(
            use_case,
            settings,
            champion,
            tables=tables,
            states=states,
            blocks=blocks,
            closings=closings,
            as_of=as_of,
            run=run,
        )
    except (ChampionUnresolved, DeclarationError, VersionGone) as error:
        if champion == present:
            raise
        # Of one that was replaced, files may be gone, or what is declared now may not be there.
        return without(str(error).splitlines()[0])


def _judged(
    use_case: UseCase,
    settings: Settings,
    champion: Champion,
    *,
    tables: KnownTables,
    states: "pa.Table",
    blocks: list[BlockPerformance],
    closings: Mapping[str, Closing],
    as_of: datetime,
    run: str,
) -> Watched:
    """Judge the blocks and the losses of one model, and keep the answers."""
    name, monitoring = use_case.name, use_case.monitoring
    parts = TrainedUseCase.of(use_case)
    watching = champion_profiles.watch(settings, champion, parts, monitoring)
    reference = champion_profiles.reference_of(watching, tables, run=run)
    profiled = champion_profiles.up_to_date(watching, tables, reference, as_of=as_of, run=run)
    served = [place for place, one in enumerate(profiled) if one.published]
    if not served:
        return Watched.without(
            f"champion {champion.model.version} has scored no block yet. Its first is judged.",
            alarms_per_quarter=monitoring.alarms_per_quarter,
        )
    profiled = profiled[: served[-1] + 1]
    times = [profiled[place].scored_for for place in served]
    first = losses_from(len(times), monitoring)
    losses = champion_losses.losses_since(
        watching, reference, times[first:], states, closings=closings, run=run
    )
    version = reference.model_version
    known = monitoring_ledger.by_model(settings, name)
    before = known.get(version, [])
    fresh = [
        *judge_new(profiled, reference, monitoring, known),
        *judge_losses(losses, times[first:], reference, monitoring),
    ]
    if (realised := realised_loss(losses, reference)) is not None:
        fresh.append(realised)
    monitoring_ledger.keep(settings, name, version, fresh, as_of=as_of, run=run)
    known[version] = judged = answers_after(before, fresh)
    every = [one for of_model in known.values() for one in of_model]
    return watched_of(
        judged, every, profiled, blocks=blocks, model=reference, monitoring=monitoring
    )


def _measured(
    use_case: UseCase,
    settings: Settings,
    tables: KnownTables,
    states: "pa.Table",
    *,
    as_of: datetime,
    run: str,
) -> tuple[list[BlockPerformance], dict[str, Closing]]:
    """Measure the blocks that were not measured for good, and keep how all did.

    Returns them sorted by block, and how those are closed whose labels are all settled.
    """
    parts, minimum = TrainedUseCase.of(use_case), use_case.monitoring.minimum_labels
    times, kind = parts.scoring.times, parts.label.kind
    listed, key = ranked_list(parts.scoring.outputs), tuple(parts.features.entity.key)
    windows: dict[str, list[Standing]] = {}
    for window in prediction_store.standing(settings, parts.name):
        if window.scored_for <= as_of:
            windows.setdefault(times.block_name(window.scored_for), []).append(window)
    rule = [MEASURE, feature_digest(parts.features, parts.label), minimum, listed]
    sources = {
        block: digest_of([rule, [[one.window, one.run_key, one.generation] for one in own]])
        for block, own in windows.items()
    }
    done = performance_store.closed(
        settings, parts.name, sources, as_of=as_of, edition=tables.edition
    )
    left = [one for block, own in windows.items() if block not in done for one in own]
    fresh: list[BlockPerformance] = []
    if left:
        worth = [] if parts.label.value is None else [VALUE]
        columns = [*key, SCORED_FOR, "prediction", "model_version", *worth]
        rows = prediction_store.rows(settings, parts.name, left, columns)
        fresh = measure(
            rows,
            states,
            key=key,
            blocks=times.block_names(rows[SCORED_FOR]),
            minimum_labels=minimum,
            kind=kind,
            listed=listed,
        )
    blocks = sorted([*(one.block for one in done.values()), *fresh], key=lambda one: one.block)
    closings = performance_store.closings(
        blocks, as_of=as_of, sources=sources, done=done, edition=tables.edition
    )
    performance_store.keep(settings, parts.name, blocks, closings, as_of=as_of, run=run, kind=kind)
    return blocks, closings


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
