"""The demo's summary: what happened, in numbers read back from the lake and the registry."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from rich.panel import Panel
from rich.table import Table as Grid

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import (
    champion,
    decisions,
    mlflow_registry,
    monitoring_ledger,
    prediction_store,
)
from pipelines.adapters.outputs import output_ledger
from pipelines.adapters.outputs.output_ledger import Recorded
from pipelines.adapters.platform import process_state
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.cli import output_commands, platform
from pipelines.cli.output_commands import TopList
from pipelines.cli.terminal import console
from pipelines.domain.evidence import Evidence
from pipelines.domain.metrics import Interval
from pipelines.domain.verdict import promotable
from pipelines.domain.watched import Watched
from pipelines.stages.score import SLOT
from pipelines.use_case import TrainedUseCase, UseCase

SHOWN = {
    "missed_value": "missed value",
    "log_loss": "log loss (nats)",
    "auc": "AUC",
    "absolute_error": "absolute error",
}
"""Metrics that the demo shows of a model, where it has them; its evidence has all."""

LISTED = 3
"""Rows of each group that the demo shows of a top list; `headframe outputs` shows all."""

COUNTS = ("landed", "accepted", "repeated", "quarantined", "unparsed")


Kind = Literal["start", "deliver", "run", "person"]
"""What a step of the demo spends its time on: the platform, files, Airflow runs, a person."""


@dataclass(slots=True, kw_only=True)
class StepTime:
    """One step of the demo: its wall seconds, and the seconds each of its tasks worked."""

    label: str
    kind: Kind
    seconds: float = 0.0
    note: str = ""
    doing: str = ""
    tasks: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything the demo shows at its end; ``to_json`` is what scripts and tests read."""

    use_case: str
    label: str
    tables: dict[str, dict[str, int]]
    quarantine: dict[str, int]
    models: list[dict[str, Any]]
    champion: str
    predictions: int
    weeks: list[dict[str, Any]]
    lists: list[TopList]
    verdict: str
    restarts: int
    seconds: float
    steps: list[dict[str, Any]]

    def to_json(self) -> str:
        """Return the summary as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def judged_at(settings: Settings, use_case: str, as_of: datetime) -> bool:
    """Tell whether a challenger trained as of this moment was judged, and promoted if it could be."""
    mine = [e.decision for e in decisions.read_all(settings, use_case)]
    judged = [d for d in mine if d.kind == "evaluated" and d.as_of == as_of]
    if not judged:
        return False
    run_id = mlflow_registry.candidate(settings, use_case, judged[-1].version).run_id
    evidence = mlflow_registry.read_evidence(settings, run_id, judged[-1].evidence_digest)
    refused = not promotable(evidence.verdicts)
    ended = {"promoted", "rejected"}
    return refused or any(d.version == judged[-1].version and d.kind in ended for d in mine)


def windows_scored(settings: Settings, use_case: UseCase, since: datetime, until: datetime) -> int:
    """Return how many scoring times in [since, until) have current predictions."""
    times = TrainedUseCase.of(use_case).scoring.times.between(since, until)
    names = [prediction_store.window_name(SLOT, start) for start in times]
    return sum(
        prediction_store.current_run_key(settings, use_case.name, name) is not None
        for name in names
    )


def gather(
    settings: Settings, use_case: UseCase, steps: Sequence[StepTime], seconds: float
) -> Summary:
    """Read the facts back from lake, ledger and registry; nothing is remembered from the run."""
    state = process_state.running(settings.root)
    promoted = [
        entry.decision.version
        for entry in decisions.read_all(settings, use_case.name)
        if entry.decision.kind == "promoted"
    ]
    standing = champion.told_of(settings, use_case.name).champion
    predictions = lake.predictions(settings, use_case.name)
    return Summary(
        use_case=use_case.name,
        label=TrainedUseCase.of(use_case).label.name,
        tables={table.name: _law(settings, use_case, table.name) for table in use_case.tables},
        quarantine=_quarantine(settings, use_case),
        models=_models(settings, use_case),
        champion=standing.version if standing else "",
        predictions=delta_tables.read(predictions, columns=["slot"]).num_rows,
        weeks=_weeks(settings, use_case),
        lists=output_commands.top_lists(settings, use_case, _delivered(settings, use_case)),
        verdict=_verdict(settings, use_case, promoted),
        restarts=sum(child.restarts for child in state.children) if state else 0,
        seconds=round(seconds, 1),
        steps=[asdict(step) for step in steps],
    )


def save(settings: Settings, summary: Summary) -> None:
    """Write the summary to ``demo.json`` under the home."""
    write_whole(settings.root / "demo.json", summary.to_json() + "\n")


def show(settings: Settings, summary: Summary) -> None:
    """Print the summary for a person."""
    console.rule(f"[bold]What happened: {summary.use_case}")
    console.print(summary.verdict, highlight=False, markup=False)
    _show_rows(summary)
    for model in summary.models:
        _show_model(model, champion=summary.champion)
    _show_weeks(summary)
    for listed in summary.lists:
        output_commands.show(listed, most=LISTED)
    _show_time(summary)
    console.rule("[bold]Look around")
    platform.print_addresses(settings)
    console.print("The platform stays up until [bold]make down[/bold].")


def _verdict(settings: Settings, use_case: UseCase, promoted: Sequence[str]) -> str:
    """Return what monitor last said of the newest champion that it judged, in a sentence."""
    budget = use_case.monitoring.alarms_per_quarter
    every = monitoring_ledger.read(settings, use_case.name)
    for version in reversed(promoted):
        judged = monitoring_ledger.read(settings, use_case.name, model_version=version)
        if blocks := [one.block for one in judged if one.subject == "inputs"]:
            return Watched.of(
                judged,
                every,
                model_version=version,
                newest_block=max(blocks),
                alarms_per_quarter=budget,
                block=use_case.monitoring.block,
            ).verdict
    return "Not watched: no champion has scored a block that was monitored."


def _delivered(settings: Settings, use_case: UseCase) -> list[Recorded]:
    """Return the newest delivery of each output; none where scoring has none."""
    if not output_ledger.read(settings, use_case.name):
        return []
    return output_commands.newest(settings, use_case)


def _law(settings: Settings, use_case: UseCase, table: str) -> dict[str, int]:
    """Add up the law over every commit of a silver table."""
    totals = dict.fromkeys(COUNTS, 0)
    for commit in delta_tables.history(lake.silver(settings, use_case.name, table)):
        if "headframe.law" in commit:
            for name, count in json.loads(commit["headframe.law"]).items():
                totals[name] += count
    return totals


def _quarantine(settings: Settings, use_case: UseCase) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for table in use_case.tables:
        path = lake.quarantine(settings, use_case.name, table.name)
        if not delta_tables.exists(path):
            continue
        for row in delta_tables.read(path, columns=["_failed"])["_failed"].to_pylist():
            for reason in row:
                name = f"{table.name}: {reason}"
                reasons[name] = reasons.get(name, 0) + 1
    return reasons


def _models(settings: Settings, use_case: UseCase) -> list[dict[str, Any]]:
    recorded = [entry.decision for entry in decisions.read_all(settings, use_case.name)]
    models = []
    for decision in (d for d in recorded if d.kind == "evaluated"):
        run_id = mlflow_registry.candidate(settings, use_case.name, decision.version).run_id
        evidence = mlflow_registry.read_evidence(settings, run_id, decision.evidence_digest)
        answers = [
            d for d in recorded
            if d.version == decision.version and d.kind in ("approved", "rejected")
        ]  # fmt: skip
        models.append(
            {
                "version": decision.version,
                "as_of": decision.as_of.isoformat(),
                "champion_then": evidence.champion,
                "held_out": list(evidence.held_out_window),
                "rows": evidence.rows,
                "metrics": _metrics(evidence),
                "verdicts": [
                    {"gate": v.gate, "outcome": v.outcome, "reason": v.reason}
                    for v in evidence.verdicts
                ],
                "answer": f"{answers[-1].kind} by {answers[-1].actor}" if answers else "",
                "promoted": any(
                    d.kind == "promoted" and d.version == decision.version for d in recorded
                ),
            }
        )
    return models


def _metrics(evidence: Evidence) -> dict[str, dict[str, list[float]]]:
    """Return role -> metric -> [estimate, low, high]; a metric without an interval is left out."""
    return {
        role: {
            name: [round(value, 4) for value in (found.estimate, found.low, found.high)]
            for name, found in metrics.items()
            if isinstance(found, Interval)
        }
        for role, metrics in evidence.metrics.items()
    }


def _weeks(settings: Settings, use_case: UseCase) -> list[dict[str, Any]]:
    """Add up the measured blocks by calendar week; the loss is weighted by final labels."""
    path = lake.performance(settings, use_case.name)
    if not delta_tables.exists(path):
        return []
    weeks: dict[str, dict[str, Any]] = {}
    for block in sorted(delta_tables.read(path).to_pylist(), key=lambda row: row["block"]):
        day = datetime.fromisoformat(block["block"]).date()
        monday = (day - timedelta(days=day.weekday())).isoformat()
        week = weeks.setdefault(
            monday,
            dict.fromkeys(("predictions", "final", "unlabelled", "pending", "positives"), 0)
            | {"week_of": monday, "loss": 0.0, "auc": 0.0},
        )
        for name in ("predictions", "final", "unlabelled", "pending", "positives"):
            week[name] += block[name]
        week["loss"] += (block["log_loss"] or 0.0) * block["final"]
        week["auc"] += (block["auc"] or 0.0) * block["final"]
    return [
        week
        | {
            "loss": round(week["loss"] / week["final"], 4) if week["final"] else None,
            "auc": round(week["auc"] / week["final"], 4) if week["final"] else None,
        }
        for week in weeks.values()
    ]


def _show_rows(summary: Summary) -> None:
    grid = Grid("table", *COUNTS, title="Rows: landed = the sum of the rest", title_justify="left")
    for name, counts in summary.tables.items():
        grid.add_row(name, *(f"{counts[count]:,}" for count in COUNTS))
    console.print(grid)
    for reason, count in summary.quarantine.items():
        console.print(f"  set aside: {count:,} x {reason}", highlight=False)


def _show_model(model: dict[str, Any], *, champion: str) -> None:
    found = [name for name in SHOWN if any(name in had for had in model["metrics"].values())]
    grid = Grid("95 % over blocks", *(SHOWN[name] for name in found), box=None)
    for role, metrics in model["metrics"].items():
        cells = []
        for name in found:
            if name in metrics:
                estimate, low, high = metrics[name]
                cells.append(f"{estimate:.4f}  [{low:.4f}, {high:.4f}]")
            else:
                cells.append("too few blocks")
        grid.add_row(role, *cells)
    outcome = model["answer"] or "refused by the gates"
    now = ", in production now" if model["version"] == champion else ""
    first, last = model["held_out"]
    console.print(
        Panel(
            grid,
            title=f"Candidate {model['version']}: {outcome}{now}",
            subtitle=f"{model['rows']:,} held-out rows, {first} to {last}",
            title_align="left",
            subtitle_align="left",
            expand=False,
        )
    )
    for verdict in model["verdicts"]:
        colour = {"passed": "green", "failed": "red"}.get(verdict["outcome"], "yellow")
        text = f"  [{colour}]{verdict['outcome']}[/] {verdict['gate']}: {verdict['reason']}"
        console.print(text, highlight=False)


def _show_weeks(summary: Summary) -> None:
    grid = Grid(
        "week of", "scored", "final", "never", "pending", summary.label, "log loss", "AUC of a block",
        title=f"{summary.predictions:,} predictions, by week and state of their label",
        title_justify="left",
    )  # fmt: skip
    for week in summary.weeks:
        share = f"{week['positives'] / week['final']:.1%}" if week["final"] else "-"
        figures = [f"{week[name]:.4f}" if week[name] else "too few" for name in ("loss", "auc")]
        counts = ("predictions", "final", "unlabelled", "pending")
        grid.add_row(f"{week['week_of'][5:]}", *(f"{week[n]:,}" for n in counts), share, *figures)
    console.print(grid)


def _show_time(summary: Summary) -> None:
    """Say where the time went; what a run took beyond its tasks was scheduling and waiting."""
    spent = {
        kind: sum(step["seconds"] for step in summary.steps if step["kind"] == kind)
        for kind in get_args(Kind)
    }
    tasks = [seconds for step in summary.steps for seconds in step["tasks"].values()]
    console.print(
        f"{summary.seconds:.0f} s in all: {spent['start']:.0f} s to start the platform, "
        f"{spent['deliver']:.0f} s to deliver files, {sum(tasks):.0f} s of work in {len(tasks)} "
        f"tasks, {max(spent['run'] - sum(tasks), 0):.0f} s of scheduling around them, "
        f"{spent['person']:.0f} s for the approval; {summary.restarts} process restarts.",
        highlight=False,
    )
