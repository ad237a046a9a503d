"""Bad files: machines with seeded corrections, and the same lake rebuilt without one of them."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain.lateness import TICK
from pipelines.domain.scoring import LateWindow
from pipelines.stages.deliver import deliver as bring
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import promote
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load
from tests import machines
from tests.empty_databases import place_mlflow
from tests.machines import at

PLAN, OUTCOME = "day,machine,load,shift_at", "day,machine,stop_minutes"

Key = tuple[datetime, date, str]
"""Scoring time, day, machine."""

FIRST_SCORED, END_SCORED = 44, 49

SUITE = {
    "name": "outcome",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "stop_minutes", "min_value": 0, "max_value": 600},
            "severity": "critical",
            "meta": {"on_fail": "quarantine"},
        }
    ],
}


def day(number: int) -> str:
    return str(at(number).date())


def plan(number: int, machine: str, load_share: str, hour: int = 9) -> str:
    return f"{day(number)},{machine},{load_share},{at(number, hour):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """A file to deliver beside the usual ones."""

    header: str
    rows: tuple[str, ...]
    at: datetime


FILES: Mapping[str, BadFile] = {
    # Labels of three machines, corrected in time: their later past_rate, in training and scoring.
    "outcome/corrected.csv": BadFile(
        header=OUTCOME,
        rows=tuple(f"{day(10)},{name},77" for name in ("A00", "B01", "A02")),
        at=at(11, 12),
    ),
    # A label taken back in time: without the file there would be one training row more.
    "outcome/emptied.csv": BadFile(header=OUTCOME, rows=(f"{day(12)},A18,",), at=at(13, 12)),
    # A shift moved out of its window, long ago: likewise.
    "plan/moved.csv": BadFile(header=PLAN, rows=(plan(15, "B19", "0.5", 3),), at=at(14, 21)),
    # Labels of two machines, corrected in time but after the training rows: scoring alone.
    "outcome/recent.csv": BadFile(
        header=OUTCOME, rows=(f"{day(44)},A04,55", f"{day(44)},B05,1"), at=at(45, 12)
    ),
    # Known only after those labels were final.
    "outcome/too_late.csv": BadFile(
        header=OUTCOME, rows=(f"{day(40)},A00,99", f"{day(40)},B01,0"), at=at(46, 12)
    ),
    # Loads of one day, one of them as it was; and one shift moved out of its window.
    "plan/loads.csv": BadFile(
        header=PLAN,
        rows=(plan(46, "A06", "0.9999"), plan(46, "B07", "0.0001"), plan(46, "A08", "0.5", 3)),
        at=at(45, 21),
    ),
    # Taken back, whole, before the day was scored.
    "plan/mistaken.csv": BadFile(
        header=PLAN, rows=(plan(47, "A10", "0.77"), plan(47, "B11", "0.78")), at=at(46, 21)
    ),
    "plan/taken_back.csv": BadFile(
        header=PLAN, rows=(plan(47, "A10", "0.11"), plan(47, "B11", "0.12")), at=at(46, 22)
    ),
    # The same rows, told at the same moment by two files, the second with one more.
    "plan/told.csv": BadFile(header=PLAN, rows=(plan(48, "A12", "0.21"),), at=at(47, 21)),
    "plan/told_again.csv": BadFile(
        header=PLAN, rows=(plan(48, "A12", "0.21"), plan(48, "B13", "0.22")), at=at(47, 21)
    ),
    # A machine of its own, which nobody else tells of.
    "plan/extra.csv": BadFile(header=PLAN, rows=(plan(47, "C40", "0.5"),), at=at(46, 20)),
    # Set aside by the suite, every row.
    "outcome/quarantined.csv": BadFile(
        header=OUTCOME, rows=(f"{day(44)},A14,9999", f"{day(44)},B15,9998"), at=at(45, 13)
    ),
}


BUNDLED = {
    "plan": [range(first, first + 8) for first in range(0, 40, 8)],
    "outcome": [range(first, first + 2) for first in (*range(0, 8, 2), *range(16, 40, 2))],
}
"""Days whose usual files are one: a whole trace computes its block once a file. Those of the days
that are scored, and of the outcomes that seeded files correct, stay as they are. Labels of more
than two days would come when they are too late to count."""


def deliver(settings: Settings) -> None:
    """Deliver the usual files of the machines, and the seeded ones."""
    machines.deliver(settings)
    for table, bundles in BUNDLED.items():
        for days in bundles:
            _bundle(settings, table, days)
    for name, file in FILES.items():
        machines.land(settings, name, file.header, list(file.rows), file.at)


def _bundle(settings: Settings, table: str, days: range) -> None:
    """Make one file of the files of some days: a plan comes before them, outcomes come after."""
    folder = local(settings.landing) / machines.NAME / table
    rows: list[str] = []
    for number in days:
        path = folder / f"{day(number)}.csv"
        rows += path.read_text("utf-8").splitlines()[1:]
        path.unlink()
        path.with_name(f"{path.name}.delivered.json").unlink()
    header, came = (
        (PLAN, at(days[0] - 1, 20)) if table == "plan" else (OUTCOME, at(days[-1] + 1, 6))
    )
    machines.land(settings, f"{table}/{day(days[0])}_{day(days[-1])}.csv", header, rows, came)


OUTPUTS = """scoring=Scoring(
        outputs=[
            CsvFile(name="all_shifts", consumer="planning"),
            TopN(3, name="watch_list", consumer="floor", by="p_stopped", reasons=0),
        ],
"""

LATE_FILE = "outcome/ingested_late.csv"
LATE = BadFile(header=OUTCOME, rows=(f"{day(45)},A16,88", f"{day(45)},B17,1"), at=at(46, 12))
"""Known and final in time for the window of day 48, and taken in after it was scored."""


MIDDAY_FILE = "plan/midday.csv"
MIDDAY = BadFile(
    header=PLAN,
    rows=(
        plan(48, "A06", "0.99", 15),  # another load of a shift still ahead
        plan(48, "B01", "0.01", 8),  # and of one that is over
        plan(48, "A02", "0.6", 17),  # a shift that was over, moved ahead
        plan(48, "A08", "0.4", 9),  # one that was ahead, moved back
        plan(48, "C41", "0.5", 16),  # one that nobody else tells of
    ),
    at=at(48, 11),
)
"""Known in the middle of the window of day 48."""

NOON = at(48, 12) + TICK


def declare(settings: Settings) -> UseCase:
    """Declare the machines with two outputs."""
    machines.declare(settings)
    path = settings.dags / f"{machines.NAME}.py"
    text = path.read_text("utf-8").replace("scoring=Scoring(", OUTPUTS)
    path.write_text(text.replace("    Scoring, Table,", "    CsvFile, Scoring, Table, TopN,"))
    return load(path)


def build(folder: Path) -> Path:
    """Prepare a home in which all was ingested, candidate 1 promoted, and five days scored.

    Their predictions were delivered. Then one more file was taken in, which changed what had been
    known for the last day, and that was scored and delivered again.
    """
    settings = machines.settings_in(folder)
    deliver(settings)
    use_case = declare(settings)
    suites = settings.expectations / machines.NAME
    suites.mkdir(parents=True)
    (suites / "outcome.json").write_text(json.dumps(SUITE), "utf-8")
    machines.take_in(use_case, settings)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    train(use_case, settings, as_of=at(50), run="train run", requester="sam")
    evaluate(use_case, settings, version="1")
    promote(use_case, settings, version="1", as_of=at(50))
    scored(use_case, settings)
    delivered(use_case, settings)
    machines.land(settings, LATE_FILE, LATE.header, list(LATE.rows), LATE.at)
    machines.take_in(use_case, settings)
    scored(use_case, settings, run="score again")
    delivered(use_case, settings)
    return folder


def build_late(template: Path, folder: Path) -> tuple[UseCase, Settings]:
    """Return a copy in which the rest of the last day was scored again as of noon, and delivered."""
    settings = machines.copy_template(template, folder)
    use_case = load(settings.dags / f"{machines.NAME}.py")
    machines.land(settings, MIDDAY_FILE, MIDDAY.header, list(MIDDAY.rows), MIDDAY.at)
    machines.take_in(use_case, settings)
    scored_at_noon(use_case, settings)
    delivered(use_case, settings)
    return use_case, settings


def scored_at_noon(use_case: UseCase, settings: Settings) -> None:
    late = LateWindow(scored_for=at(48, 4), as_of=NOON, until=at(49, 4), reason="late at noon")
    score(use_case, settings, since=NOON, until=NOON, run="noon run", late=[late])


def delivered(use_case: UseCase, settings: Settings) -> None:
    times = sorted({moment for moment, _, _ in predictions(settings)})
    bring(use_case, settings, scored_for=times, run="deliver run", connections=str)


def scored(use_case: UseCase, settings: Settings, run: str = "score run") -> None:
    score(use_case, settings, since=at(FIRST_SCORED, 0), until=at(END_SCORED, 0), run=run)


def without(template: Path, folder: Path, *names: str) -> tuple[UseCase, Settings]:
    """Return a second lake, made by the same stages and model from all files but these."""
    settings = machines.copy_template(template, folder)
    root = settings.root
    for made in ("silver", "quarantine", "gold", "predictions", "ledger/landed_files"):
        shutil.rmtree(root / "lake" / made)
    for name in names:
        path = local(settings.landing) / machines.NAME / name
        path.unlink()
        path.with_name(f"{path.name}.delivered.json").unlink()
    use_case = load(settings.dags / f"{machines.NAME}.py")
    machines.take_in(use_case, settings)
    scored(use_case, settings)
    return use_case, settings


def feature_rows(settings: Settings) -> dict[Key, tuple[object, ...]]:
    """Return the feature rows of the scored windows, by scoring time, day and machine."""
    (name,) = (n for n in lake.table_paths(settings) if n.startswith("gold.features."))
    rows = delta_tables.read(lake.table_paths(settings)[name]).to_pylist()
    first = at(FIRST_SCORED, 0)
    return {
        (row["as_of"], row["day"], row["machine"]): (
            row["event_time"], row["load"], row["family"], row["past_rate"],
        )
        for row in rows
        if row["as_of"] >= first
    }  # fmt: skip


def described(settings: Settings) -> dict[Key, tuple[object, ...]]:
    """Return what each current prediction was made from: its own as_of, and its feature row."""
    features = feature_rows(settings)
    rows = delta_tables.read(lake.predictions(settings, machines.NAME)).to_pylist()
    return {
        (row["scored_for"], row["day"], row["machine"]): (
            row["as_of"], *features[row["as_of"], row["day"], row["machine"]],
        )
        for row in rows
    }  # fmt: skip


def predictions(settings: Settings) -> dict[Key, float]:
    """Return the current predictions by scoring time, day and machine."""
    rows = delta_tables.read(lake.predictions(settings, machines.NAME)).to_pylist()
    return {(row["scored_for"], row["day"], row["machine"]): row["prediction"] for row in rows}
