"""Score runs: a home whose predictions are replaced again and again, and the steps that do it."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import champion
from pipelines.adapters.settings import Settings
from pipelines.domain.features import AS_OF
from pipelines.domain.scoring import LateWindow, ScoredPart, ScorePlan
from pipelines.errors import CommitLost
from pipelines.stages import score as stage
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import promote
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load
from tests import machines
from tests.faults.model_runs import Ended, Work, run_work
from tests.machines import at

DAYS = range(44, 50)
"""Days that are scored."""

BROKEN = 48
"""From this day on some rows have an infinite feature; no model is trained or judged on them."""

PARTS = 3
ROWS_A_GROUP = 16
"""Of the feature file's row groups: a window of 40 rows lies in three or four of them."""

OVERTAKEN = 3
"""Exit status of a scorer that another one was ahead of."""


def build(template: Path, folder: Path) -> Path:
    """Prepare a home in which versions 1 and 2 were champions, and features are in many groups."""
    settings = machines.copy_template(template, folder)
    infinite = f"a.day >= '{at(BROKEN).date()}' and a.load > 0.8"
    more = f", case when {infinite} then 'infinity'::double else 0.0 end as pressure"
    for number, chosen in enumerate((machines.WEAK, machines.Variant()), start=1):
        use_case = machines.declare(settings, replace(chosen, more_features=more, parts=PARTS))
        train(use_case, settings, as_of=at(50), run="test", requester="sam")
        evaluate(use_case, settings, version=str(number))
        promote(use_case, settings, version=str(number), as_of=at(50))
    planned = stage.plan(use_case, settings, since=at(44, 0), until=at(50, 0), run="test")
    _regroup(settings, planned.features)
    return folder


def _regroup(settings: Settings, features: str) -> None:
    """Rewrite the feature table in small row groups, so that a window is shared by parts."""
    from deltalake import WriterProperties, write_deltalake

    table = lake.features(settings, machines.NAME, features)
    rows = delta_tables.read(table).sort_by([(AS_OF, "ascending"), ("machine", "ascending")])
    small = WriterProperties(max_row_group_size=ROWS_A_GROUP)
    write_deltalake(str(table), rows, mode="overwrite", writer_properties=small)


# What is run, each in a process of its own


def scored_by(version: str, use_case: UseCase, settings: Settings) -> None:
    """Score every day with a version."""
    _unless_overtaken(
        partial(
            stage.score,
            use_case,
            settings,
            since=at(44, 0),
            until=at(50, 0),
            run="test",
            model_version=version,
        )
    )


def scored_late(
    version: str, moments: Sequence[tuple[int, int]], use_case: UseCase, settings: Settings
) -> None:
    """Score what is still ahead on some days at an hour of theirs, as after a late delivery."""
    late = [
        LateWindow(
            scored_for=at(day, 4), as_of=at(day, hour), until=at(day + 1, 4), reason="late plan"
        )
        for day, hour in moments
    ]
    none = at(50, 0)
    _unless_overtaken(
        partial(
            stage.score,
            use_case,
            settings,
            since=none,
            until=none,
            run="test",
            model_version=version,
            late=late,
        )
    )


def planned(version: str, use_case: UseCase, settings: Settings) -> None:
    """Plan every day with a version, and hand the plan on as text."""
    plan = stage.plan(
        use_case, settings, since=at(44, 0), until=at(50, 0), run="test", model_version=version
    )
    _hand_on(settings, "plan", plan.to_plain())


def part_scored(number: int, use_case: UseCase, settings: Settings) -> None:
    """Score one part of the plan that was handed on."""
    plan = ScorePlan.from_plain(_handed(settings, "plan"))
    part = stage.score_part(use_case, settings, plan, number)
    _hand_on(settings, f"part{number}", part.to_plain())


def published(use_case: UseCase, settings: Settings) -> None:
    """Publish the parts that were handed on."""
    plan = ScorePlan.from_plain(_handed(settings, "plan"))
    names = [f"part{number}" for number in range(len(plan.parts))]
    parts = [ScoredPart.from_plain(_handed(settings, name)) for name in names]
    _unless_overtaken(partial(stage.publish, use_case, settings, plan, parts))


def scored_naively(use_case: UseCase, settings: Settings) -> None:
    """Append predictions of each day, then note in a file that it is done: the control."""
    from deltalake import write_deltalake

    standing = champion.resolve(settings, use_case.name)
    assert standing is not None
    table = lake.features(settings, use_case.name, standing.model.tags["headframe.features"])
    scorer = champion.scorer(settings, use_case.name, standing)
    done = settings.root / "done"
    for day in DAYS:
        if done.exists() and str(day) in done.read_text().split():
            continue
        moment = f"as_of = timestamp '{at(day, 4):%Y-%m-%d %H:%M:%S}Z'"
        rows = delta_tables.read(table, where=f"{moment} and pressure < 1")
        made = rows.select(["day", "machine"]).append_column("prediction", [scorer.answers(rows)])
        write_deltalake(str(lake.predictions(settings, use_case.name)), made, mode="append")
        failpoint("score.after_predictions")
        with done.open("a") as file:
            file.write(f"{day}\n")


def _unless_overtaken(work: partial[Any]) -> None:
    try:
        work()
    except CommitLost:
        sys.exit(OVERTAKEN)


def _hand_on(settings: Settings, name: str, plain: dict[str, Any]) -> None:
    path = settings.root / "handed" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(plain))
    new.replace(path)


def _handed(settings: Settings, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((settings.root / "handed" / f"{name}.json").read_text())
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """Work that is done when each of its pieces ended well, in order; ``before`` is not killed."""

    name: str
    pieces: tuple[Work, ...]
    corrected: bool = False


STEPS = (
    Step("the first generation", (partial(scored_by, "1"),)),
    Step("another model", (partial(scored_by, "2"),)),
    Step(
        "the old model again, in parts",
        (
            partial(planned, "1"),
            *(partial(part_scored, number) for number in range(PARTS)),
            published,
        ),
    ),
    Step("late", (partial(scored_late, "1", [(46, 8), (46, 12), (48, 12), (49, 9)]),)),
    Step("the newer model again", (partial(scored_by, "2"),)),
    Step("a correction of what was known", (partial(scored_by, "2"),), corrected=True),
    Step("late again", (partial(scored_late, "2", [(45, 10), (49, 12)]),)),
)


def correct(folder: Path) -> None:
    """Deliver and ingest other loads of one day, which were known before it was scored."""
    settings = machines.settings_in(folder)
    header = "day,machine,load,shift_at"
    day = at(45).date()
    lines = [f"{day},{'AB'[n % 2]}{n:02},0.5{n},{day}T{7 + n % 12:02}:00:00Z" for n in range(4)]
    machines.land(settings, "plan/corrected.csv", header, lines, at(44, 21))
    machines.take_in(load(settings.dags / f"{machines.NAME}.py"), settings)


def do(folder: Path, step: Step) -> None:
    """Do a step without a fault, and require that it ends well."""
    for piece in step.pieces:
        ended = run_work(folder, piece)
        assert ended == Ended(0, ()), (folder / "log.txt").read_text()
