"""The declaration: every problem at once, one loader without Airflow, a digest of its values."""

import dataclasses
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.domain.digest import canonical
from pipelines.domain.feature_view import feature_digest
from pipelines.errors import DeclarationError
from pipelines.use_case import (
    BeatsBaseline,
    BeatsChampion,
    Budget,
    BusinessRule,
    Candidate,
    Column,
    CsvFile,
    DeltaFolder,
    FeatureColumns,
    Files,
    ForwardTime,
    IntUniform,
    KnownTables,
    Label,
    Monitoring,
    PredictionRange,
    Probation,
    Query,
    Recent,
    Retraining,
    Roles,
    Scoring,
    Sliding,
    Table,
    TrainedUseCase,
    Training,
    UseCase,
    Value,
    features,
    load,
    load_all,
)
from tests.goldens import assert_golden

if TYPE_CHECKING:
    import duckdb

FIVE_LINES = """
from pipelines.use_case import Column, Files, Table, UseCase
meters = Table(name="meters", source=Files(pattern="meters/*.csv"), key=("meter",),
               columns=[Column("meter", "string"), Column("kwh", "double")])
readings = UseCase(name="readings", owner="energy", tables=[meters])
"""

orders = Table(
    name="orders",
    source=Files(pattern="orders/*.csv"),
    columns=[Column("order_id", "string"), Column("ordered_at", "timestamp[UTC]")],
    key=("order_id",),
    event_time="ordered_at",
    arrives_every=timedelta(hours=24),
)
refunds = Table(
    name="refunds",
    source=Files(pattern="refunds/*.csv"),
    columns=[Column("order_id", "string"), Column("amount", "double", nullable=True)],
    key=("order_id",),
)


@features(entity=orders, reads=[refunds])
def order_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    return known.sql("select order_id, 1.0::double as one from asked")


@features(entity=orders, reads=[])
def other_features(known: KnownTables) -> "duckdb.DuckDBPyRelation":
    return known.sql("select order_id, 2.0::double as two from asked")


def a_model(columns: FeatureColumns, seed: int) -> object:
    raise NotImplementedError


def another_model(columns: FeatureColumns, seed: int) -> object:
    raise NotImplementedError


LABEL = Label(
    name="refunded",
    table=refunds,
    rule="amount > 0",
    expected_after=timedelta(days=7),
    final_after=timedelta(days=30),
)
TRAINING = Training(
    start=datetime(2026, 1, 1, tzinfo=UTC),
    split=ForwardTime(test_days=28),
    candidates=[Candidate("a_model", a_model)],
)
SCORING = Scoring(at=time(5), timezone="Europe/Berlin")
CAP = BusinessRule("cap", owner="shop", when="true", then="least(prediction, 0.9)", reason="why")
DESK = CsvFile(name="desk", consumer="refunds desk")
SOUND = UseCase(
    name="returns",
    owner="shop",
    tier="governed",
    tables=[orders, refunds],
    features=order_features,
    label=LABEL,
    training=TRAINING,
    gates=[BeatsBaseline("log_loss", margin=0.01)],
    scoring=SCORING,
    retraining=Retraining(schedule="@monthly"),
)


class GateWithoutFields:
    """A gate that is no dataclass, so nothing says what it was declared with."""

    def judge(self, evidence: object) -> object:
        return evidence


def table(**changes: Any) -> Table:  # noqa: ANN401 - any field of a table
    return dataclasses.replace(orders, **changes)


def changed(**changes: Any) -> UseCase:  # noqa: ANN401 - any field of a use case
    return dataclasses.replace(SOUND, **changes)


WRONG: dict[str, UseCase] = {
    "everything_at_once": UseCase(
        name="Returns",
        owner="",
        tier="governd",  # type: ignore[arg-type]
        tables=[table(name="labels", key=("order",), event_time="orderd_at")],
        ends_before="first of May",
        ingest_schedule="hourly",
    ),
    "typos_have_nearest_names": UseCase(
        name="returns",
        owner="shop",
        tables=[
            table(
                key=("ordr_id",),
                event_time="order_at",
                columns=[Column("order_id", "strin"), Column("ordered_at", "timestamp")],
                on_new_column="ignored",
                source=Files(pattern="/orders/*.csv", format="cvs"),  # type: ignore[arg-type]
            )
        ],
    ),
    "columns_and_keys": UseCase(
        name="returns",
        owner="shop",
        tables=[
            table(key=(), columns=[Column("Order", "string"), Column("known_at", "string")]),
            table(
                name="twice",
                columns=[Column("order_id", "string"), Column("order_id", "string")],
                event_time=None,
            ),
            table(name="twice", key="order_id", event_time="order_id"),
            table(
                name="empty_keys",
                columns=[
                    Column("order_id", "string", nullable=True),
                    Column("ordered_at", "timestamp[UTC]", nullable=True),
                ],
                maximum_quarantined=20,
            ),
        ],
    ),
    "no_tables": UseCase(name="returns", owner="shop", tables=[]),
    "explore_with_a_model": changed(tier="explore"),
    "scheduled_without_a_model": UseCase(
        name="returns", owner="shop", tier="scheduled", tables=[orders]
    ),
    "governed_without_an_approver": changed(roles=Roles(approver="")),
    "durations": changed(
        tables=[table(arrives_every=timedelta(0), grace=timedelta(hours=-1)), refunds],
        label=dataclasses.replace(
            LABEL, expected_after=timedelta(days=60), final_after=timedelta(days=30)
        ),
        approval_expires=timedelta(days=30),
    ),
    "no_time_at_all": changed(
        label=dataclasses.replace(LABEL, expected_after=timedelta(0), final_after=timedelta(0)),
        approval_expires=timedelta(0),
        retraining=Retraining(schedule="@montly"),
    ),
    "features_of_other_tables": changed(tables=[orders], features=order_features),
    "label_not_read": changed(features=other_features),
    "label_without_a_rule": changed(label=dataclasses.replace(LABEL, name="Late?", rule=" ")),
    "training_and_scoring": changed(
        training=dataclasses.replace(
            TRAINING,
            start=datetime(2026, 1, 1),  # noqa: DTZ001 - what is wrong with it
            candidates=[],
            split=ForwardTime(test_days=7),
            window="rolling",  # type: ignore[arg-type]
        ),
        scoring=dataclasses.replace(
            SCORING,
            timezone="Europe/Berln",
            on_stale="fail_close",  # type: ignore[arg-type]
            parts=0,
        ),
        monitoring=Monitoring(minimum_labels=0, volume_drop=50),
    ),
    "probation": changed(
        probation=Probation(
            blocks=6, look_every=3, confidence=95, tolerance=-0.1, loss="squared_error"
        )
    ),
    "probation_of_no_champion": UseCase(
        name="returns", owner="shop", tables=[orders], probation=Probation()
    ),
    "unknown_weekday": changed(
        scoring=dataclasses.replace(SCORING, weekday="monda"),  # type: ignore[arg-type]
        monitoring=Monitoring(block="week"),
    ),
    "weeks_watched_as_days": changed(
        scoring=dataclasses.replace(SCORING, weekday="monday"),
        monitoring=Monitoring(alarms_per_quarter=14),
    ),
    "days_watched_as_weeks": changed(monitoring=Monitoring(block="week", alarms_per_quarter=14)),
    "gates": changed(
        gates=[
            BeatsBaseline("logloss", margin=0.01),
            BeatsChampion("log_loss", confidence=95),
            GateWithoutFields(),
        ]
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_declaration_reports_all_its_problems_as_the_golden_text_says(name: str) -> None:
    problems = WRONG[name].problems()
    assert_golden(f"declarations/{name}", "\n".join(str(problem) for problem in problems))


def test_a_complete_declaration_has_no_problems() -> None:
    assert SOUND.problems() == []
    weekly = dataclasses.replace(SCORING, weekday="monday")
    assert changed(scoring=weekly, monitoring=Monitoring(block="week")).problems() == []


def test_five_lines_make_a_sound_explore_use_case(tmp_path: Path) -> None:
    found = load(written(tmp_path, "readings", FIVE_LINES))
    assert (found.name, found.tier, found.problems()) == ("readings", "explore", [])


def test_an_error_lists_ten_problems_and_counts_the_rest() -> None:
    problems = WRONG["columns_and_keys"].problems() * 2
    shown = str(DeclarationError(*problems))
    assert shown.count("expected ") == 10
    assert shown.endswith(f"... and {len(problems) - 10} more.")


CHANGES: dict[str, UseCase] = {
    "name": changed(name="other"),
    "owner": changed(owner="other"),
    "purpose": changed(purpose="other"),
    "tier": changed(tier="scheduled"),
    "ingest_schedule": changed(ingest_schedule="@hourly"),
    "roles": changed(roles=Roles(approver="lead")),
    "table order": changed(tables=[refunds, orders]),
    "table key": changed(tables=[table(key=("order_id", "ordered_at")), refunds]),
    "table column": changed(tables=[table(columns=[*orders.columns, Column("x", "double")])]),
    "table nullable": changed(
        tables=[table(columns=[Column("order_id", "string", nullable=True), orders.columns[1]])]
    ),
    "table source": changed(tables=[table(source=Files(pattern="orders/*.csv.gz")), refunds]),
    "table grace": changed(tables=[table(grace=timedelta(hours=7)), refunds]),
    "table arrival": changed(tables=[table(arrives_by=time(20)), refunds]),
    "table arrival zone": changed(
        tables=[table(arrives_by=time(20), arrives_timezone="America/New_York"), refunds]
    ),
    "table known at": changed(tables=[table(known_at="ordered_at"), refunds]),
    "table missing column": changed(tables=[table(on_missing_column="fill"), refunds]),
    "table changed column": changed(tables=[table(on_changed_column="refuse"), refunds]),
    "table query": changed(
        tables=[table(source=Query(connection="till", sql="select 1")), refunds]
    ),
    "table folder": changed(tables=[table(source=DeltaFolder(location="/till")), refunds]),
    "features": changed(features=other_features),
    "label rule": changed(label=dataclasses.replace(LABEL, rule="amount >= 0")),
    "label final": changed(label=dataclasses.replace(LABEL, final_after=timedelta(days=31))),
    "label unit": changed(label=dataclasses.replace(LABEL, rule="amount", unit="USD")),
    "training seed": changed(training=dataclasses.replace(TRAINING, seed=8)),
    "training start": changed(
        training=dataclasses.replace(TRAINING, start=datetime(2026, 1, 2, tzinfo=UTC))
    ),
    "candidate": changed(
        training=dataclasses.replace(TRAINING, candidates=[Candidate("a_model", another_model)])
    ),
    "split": changed(training=dataclasses.replace(TRAINING, split=ForwardTime(test_days=29))),
    "space": changed(
        training=dataclasses.replace(
            TRAINING, candidates=[Candidate("a_model", a_model, {"depth": IntUniform(1, 5)})]
        )
    ),
    "window": changed(training=dataclasses.replace(TRAINING, window=Sliding(28))),
    "weights": changed(training=dataclasses.replace(TRAINING, weights=Recent(half_life_days=9))),
    "trials": changed(training=dataclasses.replace(TRAINING, trials=21)),
    "gate margin": changed(gates=[BeatsBaseline("log_loss", margin=0.02)]),
    "gate kind": changed(gates=[BeatsChampion("log_loss")]),
    "no gates": changed(gates=[]),
    "scoring time": changed(scoring=dataclasses.replace(SCORING, at=time(6))),
    "scoring zone": changed(scoring=dataclasses.replace(SCORING, timezone="UTC")),
    "weekday": changed(scoring=dataclasses.replace(SCORING, weekday="monday")),
    "another weekday": changed(scoring=dataclasses.replace(SCORING, weekday="friday")),
    "on stale": changed(scoring=dataclasses.replace(SCORING, on_stale="fail_closed")),
    "business rule": changed(scoring=dataclasses.replace(SCORING, rules=[CAP])),
    "business rule's text": changed(
        scoring=dataclasses.replace(SCORING, rules=[dataclasses.replace(CAP, then="0.5")])
    ),
    "output": changed(scoring=dataclasses.replace(SCORING, outputs=[DESK])),
    "output's consumer": changed(
        scoring=dataclasses.replace(SCORING, outputs=[dataclasses.replace(DESK, consumer="shop")])
    ),
    "promise": changed(scoring=dataclasses.replace(SCORING, promises=[PredictionRange(0, 0.9)])),
    "monitoring": changed(monitoring=Monitoring(minimum_labels=31)),
    "retraining": changed(retraining=Retraining(schedule="@weekly")),
    "budget": changed(budget=Budget(cpu_seconds_per_month=3600)),
    "probation": changed(probation=Probation(blocks=28)),
    "no probation": changed(probation=Probation(blocks=0)),
    "approval": changed(approval_expires=timedelta(days=6)),
    "end": changed(ends_before="2027-01-01"),
}


def test_every_declared_value_changes_the_digest() -> None:
    digests = {name: use_case.digest() for name, use_case in CHANGES.items()}
    assert len({SOUND.digest(), *digests.values()}) == len(CHANGES) + 1


def test_how_many_tasks_share_the_work_is_no_part_of_the_digest() -> None:
    spread = changed(scoring=dataclasses.replace(SCORING, parts=8))
    assert spread != SOUND
    assert spread.digest() == SOUND.digest()


def test_what_was_declared_before_there_were_weekdays_keeps_its_digest() -> None:
    assert canonical(SCORING) == {
        "type": "Scoring", "at": "05:00:00", "timezone": "Europe/Berlin",
        "on_stale": "score_and_flag", "on_late": "rescore", "rescore_days": 7,
        "rules": [], "outputs": [], "promises": [],
    }  # fmt: skip


def test_rows_described_for_a_week_are_kept_apart_from_those_of_a_day() -> None:
    daily = TrainedUseCase.of(SOUND)
    assert daily.features == SOUND.features, "what was described by the day stays"
    weekly = TrainedUseCase.of(changed(scoring=dataclasses.replace(SCORING, weekday="monday")))
    other = TrainedUseCase.of(changed(scoring=dataclasses.replace(SCORING, weekday="friday")))
    digests = [feature_digest(one.features, one.label) for one in (daily, weekly, other)]
    assert digests[0] == feature_digest(order_features, SOUND.label)
    assert digests[1] != digests[0]
    assert digests[1] == digests[2], "a week is a week, whatever day it begins on"


def entity(**changes: Any) -> UseCase:  # noqa: ANN401 - any field of a table
    """Return the sound declaration with another entity table, in its feature view, too."""
    other = table(**changes)
    view = dataclasses.replace(order_features, entity=other)
    return changed(tables=[other, refunds], features=view)


def ruled(**changes: Any) -> UseCase:  # noqa: ANN401 - any field of a rule
    rule = dataclasses.replace(CAP, **changes)
    return changed(scoring=dataclasses.replace(SCORING, rules=[rule]))


IN_A_ROW: dict[str, UseCase] = {
    "tables that are read": CHANGES["features"],
    "key": entity(key=("order_id", "ordered_at")),
    "due by": entity(arrives_by=time(20)),
    "due in a zone": entity(arrives_by=time(20), arrives_timezone="America/New_York"),
    "due every": entity(arrives_every=timedelta(hours=12)),
    "grace": entity(grace=timedelta(hours=7)),
    "value": changed(label=dataclasses.replace(LABEL, value=Value("amount", "USD"))),
    "rule": ruled(),
    "rule's name": ruled(name="other"),
    "rule's condition": ruled(when="raw_prediction > 0.5"),
    "rule's value": ruled(then="0.5"),
    "two rules": changed(scoring=dataclasses.replace(SCORING, rules=[CAP, CAP])),
}
"""Changes after which a prediction row would say something else with the same model and features."""

IN_NO_ROW: dict[str, UseCase] = {
    **{
        name: use_case
        for name, use_case in CHANGES.items()
        if not name.startswith(("business rule", "table", "features"))
    },
    "table source": entity(source=Files(pattern="orders/*.csv.gz")),
    "table quarantine": entity(maximum_quarantined=0.1),
    "on late": changed(scoring=dataclasses.replace(SCORING, on_late="keep")),
    "rescore days": changed(scoring=dataclasses.replace(SCORING, rescore_days=8)),
}


def test_what_a_prediction_row_takes_from_the_declaration_has_a_digest_of_its_own() -> None:
    digests = {name: use_case.prediction_digest() for name, use_case in IN_A_ROW.items()}
    assert len({SOUND.prediction_digest(), *digests.values()}) == len(IN_A_ROW) + 1
    others = {name: use_case.prediction_digest() for name, use_case in IN_NO_ROW.items()}
    assert others == dict.fromkeys(IN_NO_ROW, SOUND.prediction_digest())
    one, other = ruled(), ruled(owner="sales", reason="because")
    assert one.prediction_digest() == other.prediction_digest()
    with pytest.raises(DeclarationError, match="tables only"):
        WRONG["no_tables"].prediction_digest()


def test_every_field_of_a_use_case_is_among_the_changes_above() -> None:
    touched = {
        field.name
        for field in dataclasses.fields(UseCase)
        for use_case in CHANGES.values()
        if getattr(use_case, field.name) != getattr(SOUND, field.name)
    }
    assert touched == {field.name for field in dataclasses.fields(UseCase)}


def test_a_use_case_that_says_nothing_of_probation_has_what_its_tier_has() -> None:
    usual = Probation(blocks=14, look_every=7, confidence=0.95, tolerance=0.0, loss="log_loss")
    assert SOUND.probation_rule == usual
    assert changed(tier="scheduled").probation_rule is None
    assert changed(tier="scheduled", probation=Probation()).probation_rule == usual
    assert changed(probation=Probation(blocks=0)).probation_rule is None
    brier = changed(probation=Probation(blocks=28, loss="brier")).probation_rule
    assert brier is not None
    assert (brier.looks, brier.loss) == ((7, 14, 21, 28), "brier")


def test_formatting_and_order_of_the_file_leave_the_digest(tmp_path: Path) -> None:
    reformatted = """
# Comments, blank lines, lists for tuples, another order of arguments.

from datetime import timedelta

from pipelines.use_case import UseCase, Table, Files, Column

UNUSED = 1
meters = Table(key=["meter"], name='meters',
    columns=(Column("meter", type="string"), Column("kwh", "double", nullable=False)),
    source=Files(pattern="meters/*.csv", format="csv"), grace=timedelta(minutes=360))

readings = UseCase(tables=(meters,),
    owner="energy",
    name="readings")
"""
    first = load(written(tmp_path / "a", "readings", FIVE_LINES))
    second = load(written(tmp_path / "b", "readings", reformatted))
    assert first.digest() == second.digest()


BROKEN_FILES = {
    "syntax": "x = (",
    "raises": "1 / 0",
    "exits": "import sys; sys.exit(3)",
    "imports": "import no_such_library",
    "none": "x = 1",
    "two": FIVE_LINES + "other = UseCase(name='other', owner='o', tables=[meters])",
    "wrong_name": FIVE_LINES,
    "wrong_types": FIVE_LINES.replace('columns=[Column("meter", "string"), ', "columns=[1, "),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_says_what_to_mend(name: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        load(written(tmp_path, name, BROKEN_FILES[name]))
    assert_golden(f"declarations/file_{name}", str(caught.value))


def test_a_file_that_is_not_there_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    written(tmp_path, "readings", FIVE_LINES)
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path / "reading.py")
    assert_golden("declarations/file_missing", str(caught.value))


def test_a_use_case_under_two_names_is_one_use_case(tmp_path: Path) -> None:
    assert load(written(tmp_path, "readings", FIVE_LINES + "same = readings")).name == "readings"


def test_a_broken_file_hides_no_other(tmp_path: Path) -> None:
    written(tmp_path, "readings", FIVE_LINES)
    written(tmp_path, "broken", "1 / 0")
    written(tmp_path, "platform__maintenance", "1 / 0")
    sound, errors = load_all(tmp_path)
    assert list(sound) == ["readings"]
    assert [error.problems[0].where for error in errors] == ["broken.py"]


@pytest.mark.parametrize("heavy", ["airflow", "pandas", "duckdb", "mlflow", "sklearn", "pyarrow"])
def test_loading_the_example_imports_nothing_heavy(heavy: str, imported: set[str]) -> None:
    assert heavy not in imported


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """Top-level modules in a fresh process after ``load`` read the real example."""
    program = (
        "import sys; from pathlib import Path; from pipelines.use_case import load; "
        "load(Path('dags/flight_delays.py')); "
        "print(' '.join({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def written(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(text, "utf-8")
    return path
