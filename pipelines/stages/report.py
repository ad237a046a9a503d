"""Report: one page about a use case's champion, from what monitor recorded; it opens by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import mlflow_registry, monitoring_ledger, profile_store
from pipelines.adapters.models.decisions import Decision
from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.domain.incidents import Incident
from pipelines.domain.metrics import METRICS
from pipelines.domain.model_reference import ModelReference
from pipelines.domain.monitored import Profiled
from pipelines.domain.monitoring_report import (
    MonitoringReport,
    Promotion,
    Provenance,
    SegmentReport,
    inputs_of,
    timeline_of,
    usual_of,
    watched_of,
)
from pipelines.domain.new_blocks import left_out_of
from pipelines.domain.performance import BlockPerformance
from pipelines.domain.watched import Watched, no_champion
from pipelines.use_case import TrainedUseCase, UseCase

if TYPE_CHECKING:
    from pipelines.domain.feature_report import FeatureReport

KEPT = 100
"""Pages of a use case that are kept, the last by as_of; each takes some 150 kB."""

LATEST = "latest.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """The verdict, the page, and the page that always is the newest."""

    verdict: str
    level: str
    page: Path
    latest: Path

    def describe(self) -> str:
        """Return two lines for the log and the terminal."""
        return f"{self.verdict}\npage: {self.page}"


def report(use_case: UseCase, settings: Settings, *, as_of: datetime) -> Reported:
    """Write the page of the blocks scored up to ``as_of``, and make it the latest unless one is newer.

    It judges nothing: it says what monitor recorded, performance as it was last measured.
    """
    from pipelines.adapters.reports.monitoring_page import render

    found = values(use_case, settings, as_of=as_of)
    html = render(found)
    folder = report_folder(settings, use_case.name)
    page = folder / page_name(as_of)
    write_whole(page, html)
    pages = sorted(folder.glob("????-??-??T*Z.html"))
    if pages[-1] == page:
        write_whole(folder / LATEST, html)
    for old in pages[:-KEPT]:
        old.unlink(missing_ok=True)
    return Reported(
        verdict=found.watched.verdict,
        level=found.watched.level,
        page=page,
        latest=folder / LATEST,
    )


def report_folder(settings: Settings, use_case: str) -> Path:
    """Folder of a use case's pages."""
    return settings.root / "reports" / use_case


def page_name(as_of: datetime) -> str:
    """Name the page of a moment; names sort as moments do.

    >>> page_name(datetime(2013, 6, 1, 9, tzinfo=UTC))
    '2013-06-01T090000Z.html'
    """
    return f"{as_of.astimezone(UTC):%Y-%m-%dT%H%M%SZ}.html"


def values(use_case: UseCase, settings: Settings, *, as_of: datetime) -> MonitoringReport:
    """Return what the page says, as values."""
    parts = TrainedUseCase.of(use_case)
    name, monitoring, kind = use_case.name, use_case.monitoring, parts.label.kind
    last_block = parts.scoring.times.block_name(as_of)
    reigns = champions.told_of(settings, name).reigns
    promoted = [began for reign in reigns if (began := reign.began.decision).as_of <= as_of]
    blocks = [one for one in _performance(settings, name) if one.block <= last_block]
    references = profile_store.references(settings, name)
    model = references.get(promoted[-1].version) if promoted else None
    profiled = _served(settings, name, model, as_of)
    made = None if model is None else _provenance(use_case, settings, model, promoted[-1])
    promotions = [
        Promotion(block=parts.scoring.times.first_block(step.as_of), version=step.version)
        for step in promoted
    ]
    features: tuple[FeatureReport, ...] = ()
    segments: tuple[SegmentReport, ...] = ()
    compared_with = ""
    left_out: tuple[str, ...] = ()
    if model is None or not profiled:
        why_not = _why_not(promoted, model, as_of)
        watched = Watched.without(why_not, alarms_per_quarter=monitoring.alarms_per_quarter)
    else:
        known = {
            version: [one for one in judged if one.block <= last_block]
            for version, judged in monitoring_ledger.by_model(settings, name).items()
        }
        every = [one for judged in known.values() for one in judged]
        judged = known.get(model.model_version, [])
        watched = watched_of(
            judged, every, profiled, blocks=blocks, model=model, monitoring=monitoring
        )
        features, segments, compared_with = inputs_of(watched, judged, profiled, model, monitoring)
        left_out = left_out_of(judged)
    return MonitoringReport(
        use_case=name,
        owner=use_case.owner,
        as_of=as_of,
        watched=watched,
        timeline=timeline_of(blocks, profiled, watched.estimates, promotions),
        usual=None if model is None else usual_of(model, monitoring),
        features=features,
        compared_with=compared_with,
        segments=segments,
        incidents=_open_incidents(settings, name),
        provenance=made,
        left_out=left_out,
        loss=METRICS[kind.loss].words,
        unit=parts.label.unit or METRICS[kind.loss].unit,
    )


def _performance(settings: Settings, use_case: str) -> list[BlockPerformance]:
    table = lake.performance(settings, use_case)
    rows = delta_tables.read(table).to_pylist() if delta_tables.exists(table) else []
    return sorted((BlockPerformance(**row) for row in rows), key=lambda one: one.block)


def _served(
    settings: Settings, use_case: str, model: ModelReference | None, as_of: datetime
) -> list[Profiled]:
    """Return the profiles up to the newest block that the model scored itself; none before that."""
    if model is None:
        return []
    found = [
        one
        for one in profile_store.profiles(settings, use_case, model)
        if one.scored_for <= as_of and one.profile.rows
    ]
    served = [place for place, one in enumerate(found) if one.published]
    return found[: served[-1] + 1] if served else []


def _why_not(promoted: Sequence[Decision], model: ModelReference | None, as_of: datetime) -> str:
    if not promoted:
        return no_champion(as_of)
    if model is None:
        return f"monitor has not looked at champion {promoted[-1].version} yet. Run it."
    return f"champion {promoted[-1].version} has scored no block yet. Its first is judged."


def _provenance(
    use_case: UseCase, settings: Settings, model: ModelReference, promoted: Decision
) -> Provenance:
    name = use_case.name
    tables = {
        f"gold.performance.{name}": lake.performance(settings, name),
        f"gold.profiles.{name}": lake.profiles(settings, name),
        f"gold.monitoring.{name}": lake.monitoring(settings, name),
        f"predictions.{name}": lake.predictions(settings, name),
    }
    versions = {dotted: delta_tables.version(folder) for dotted, folder in tables.items()}
    return Provenance(
        model_version=model.model_version,
        run_id=mlflow_registry.candidate(settings, name, promoted.version).run_id,
        edges_digest=model.digest,
        evidence_digest=promoted.evidence_digest,
        declaration_digest=use_case.digest(),
        tables={dotted: version for dotted, version in versions.items() if version >= 0},
    )


def _open_incidents(settings: Settings, use_case: str) -> tuple[Incident, ...]:
    return tuple(
        one
        for one in incident_ledger.incidents(settings).values()
        if one.use_case == use_case and one.state != "resolved"
    )
