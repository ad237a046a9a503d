"""Replay results: what the ledgers of a policy's throw-away home say, as figures to compare."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import decisions, monitoring_ledger, replayed_ledger
from pipelines.adapters.models import retraining_ledger as retraining
from pipelines.adapters.replay_journal import Done
from pipelines.adapters.settings import Settings
from pipelines.cli.replay_stages import cut_short, unscored
from pipelines.domain import replay_ledgers
from pipelines.domain.digest import digest_of
from pipelines.domain.replay_result import BlockLoss, Figure, PeriodResult, PolicyResult, gain
from pipelines.domain.replay_steps import RetrainPolicy
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.use_case import TrainedUseCase, UseCase


def policy_result(
    use_case: UseCase,
    settings: Settings,
    policy: RetrainPolicy,
    done: Sequence[Done],
    spans: Sequence[tuple[datetime, datetime]],
) -> PolicyResult:
    """Return how a policy fared, by the ledgers of its home and the journal of its steps."""
    parts, name = TrainedUseCase.of(use_case), use_case.name
    rows = _performance(settings, name)
    measured = [row for row in rows if row["outcome"] == "measured"]
    loss = parts.label.kind.loss
    blocks = tuple(
        BlockLoss(block=row["block"], loss=row[loss], final=row["final"]) for row in measured
    )
    first = parts.scoring.times.first_block(spans[0][0])
    decided = decisions.read_all(settings, name)
    entries = retraining.read(settings, name)
    known = monitoring_ledger.by_model(settings, name).values()
    judged = [one for every in known for one in every if one.block >= first]
    found = [one.found for one in done]
    ledgers = replayed_ledger.ledger_digests(settings, name)
    return PolicyResult(
        policy=policy,
        loss=Figure.of([one.loss for one in blocks], [one.final for one in blocks]),
        gain=None,
        predictions=sum(row["predictions"] for row in rows),
        final=sum(row["final"] for row in rows),
        too_few=len(rows) - len(measured),
        refused=len(unscored(found)),
        rolled_back=sum(entry.decision.kind == "rolled_back" for entry in decided),
        cut_short=cut_short(found),
        blocks=blocks,
        periods=tuple(_period(rows, loss, span, parts.scoring.times) for span in spans),
        trainings=replay_ledgers.trainings(entries, decided),
        held=replay_ledgers.held_back(entries),
        alarms=replay_ledgers.alarms(judged, use_case.monitoring.block),
        cpu_s=_cpu(done),
        wall_s=sum(one.wall_s for one in done),
        ledger=digest_of([ledgers, [[one.step, dict(one.found)] for one in done]]),
    )


def compared(policies: Sequence[PolicyResult]) -> tuple[PolicyResult, ...]:
    """Return the policies, all but the first with what they gained against it.

    The intervals of all gains hold together.
    """
    first, *others = policies
    gains = [gain(first.blocks, one.blocks, intervals=len(others)) for one in others]
    return (
        first,
        *(dataclasses.replace(one, gain=own) for one, own in zip(others, gains, strict=True)),
    )


def _performance(settings: Settings, use_case: str) -> list[dict[str, Any]]:
    table = lake.performance(settings, use_case)
    if not delta_tables.exists(table):
        return []
    rows: list[dict[str, Any]] = delta_tables.read(table).to_pylist()
    return sorted(rows, key=lambda row: row["block"])


def _period(
    rows: Sequence[Mapping[str, Any]],
    loss: str,
    span: tuple[datetime, datetime],
    times: ScoringTimes,
) -> PeriodResult:
    begin, until = span
    names = {times.block_name(moment) for moment in times.between(begin, until)}
    mine = [row for row in rows if row["block"] in names]
    known = [row for row in mine if row["outcome"] == "measured"]
    final = sum(row["final"] for row in known)
    versions = dict.fromkeys(one for row in mine for one in row["model_versions"].split(","))
    return PeriodResult(
        begin=begin,
        until=until,
        predictions=sum(row["predictions"] for row in mine),
        final=sum(row["final"] for row in mine),
        loss=sum(row[loss] * row["final"] for row in known) / final if final else None,
        versions=tuple(sorted(versions, key=lambda one: (len(one), one))),
    )


def _cpu(done: Sequence[Done]) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in done:
        for stage, seconds in one.cpu_s.items():
            found[stage] = found.get(stage, 0.0) + seconds
    return found
