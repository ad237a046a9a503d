"""Drafting: what is guessed of samples, and what the drafted file says, whatever columns are called."""

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.models import known
from pipelines.adapters.samples.sample_files import read
from pipelines.domain.draft_file import dag_file
from pipelines.domain.draft_tests import text_of_tests
from pipelines.domain.drafting import Wishes, draft
from pipelines.domain.sample_guesses import guess_event_time, guess_key, guess_known_before
from pipelines.domain.use_case_draft import Draft
from pipelines.errors import HeadframeError
from pipelines.use_case import UseCase, load
from tests.goldens import assert_golden

ROOT = Path(__file__).parents[2]
START = datetime(2026, 1, 1, 8, tzinfo=UTC)


def csv(folder: Path, name: str, header: str, rows: Sequence[str], delimiter: str = ",") -> Path:
    path = folder / f"{name}.csv"
    text = "\n".join([header, *rows]) + "\n"
    path.write_text(text.replace(",", delimiter), "utf-8")
    return path


def moment(days: float) -> str:
    return (START + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def parcels(folder: Path, rows: int = 60) -> Path:
    """Two parcels a day: when they were sent and are due, from which of two depots, how heavy."""
    chance = random.Random(3)  # noqa: S311 - made-up data
    lines = [
        f"{1000 + n},{moment(n / 2 - 2)},{moment(n / 2)},{'north' if n % 3 else 'south'},"
        f"{chance.uniform(0.1, 9):.2f},{'' if n == 4 else 'no'},eur"
        for n in range(rows)
    ]
    header = "parcel_id,sent_at,due_at,depot,kilograms,insured,currency"
    return csv(folder, "parcels", header, lines)


def deliveries(folder: Path, rows: int = 60) -> Path:
    lines = [f"{1000 + n},{moment(n / 2 + 1.5)},{n % 7}" for n in range(rows)]
    return csv(folder, "deliveries", "parcel_id,delivered_at,days_late", lines)


def drafted(entities: Path, outcomes: Path | None, *others: Path, **wishes: object) -> Draft:
    given = {"name": "late_parcels", "owner": "post", "label": "late: days_late > 2", **wishes}
    return draft(
        Wishes(**given),  # type: ignore[arg-type]
        read(entities, ""),
        read(outcomes, "") if outcomes else None,
        [read(other, "") for other in others],
    )


def declared(folder: Path, text: str, name: str) -> UseCase:
    """Load a drafted file as `headframe check` does, and try its query on no rows."""
    path = folder / f"{name}.py"
    path.write_text(text, "utf-8")
    use_case = load(path)
    if use_case.features is not None:
        assert use_case.label is not None
        assert use_case.scoring is not None
        outputs = use_case.scoring.outputs
        assert known.rehearse(use_case.features, use_case.label, outputs=outputs) == []
    return use_case


def ruff_finds(found: Draft) -> str:
    """Return what this project's linter and formatter have against drafted files; "" for nothing."""
    ruff = Path(sys.executable).parent / "ruff"
    texts = {
        f"dags/{found.name}.py": dag_file(found),
        f"tests/use_cases/test_{found.name}.py": text_of_tests(found),
    }
    checks = (["check", "--quiet"], ["format", "--check", "--diff", "--quiet"])
    runs = [
        subprocess.run(
            [ruff, *check, "--stdin-filename", name, "-"],
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        for check in checks
        for name, text in texts.items()
    ]
    return "".join(run.stdout + run.stderr for run in runs if run.returncode)


def test_the_drafted_file_reads_like_one_written_by_hand(tmp_path: Path) -> None:
    found = drafted(parcels(tmp_path), deliveries(tmp_path), timezone="Europe/London")
    text = dag_file(found)
    assert_golden("new/late_parcels.py", text)
    assert_golden("new/late_parcels_guesses", "\n".join(found.guesses()))
    use_case = declared(tmp_path, text, "late_parcels")
    assert use_case.label is not None
    assert (use_case.label.rule, use_case.label.expected_after) == (
        "days_late > 2",
        timedelta(days=2),
    )
    assert ruff_finds(found) == ""


def test_without_outcomes_there_is_something_to_explore(tmp_path: Path) -> None:
    prices = csv(tmp_path, "prices", "product,price", ["a,1.5", "b,2.5", "b,3.0"])
    found = drafted(prices, None, name="shop", label="", key=("product",))
    text = dag_file(found)
    assert_golden("new/explore.py", text)
    assert declared(tmp_path, text, "shop").tier == "explore"
    assert ruff_finds(found) == ""


Row = Callable[[int], str]

AWKWARD: dict[str, tuple[str, Row, str, Row, dict[str, object]]] = {
    # Names that mean something to SQL, to Python or to Headframe.
    "keywords": (
        "order,select,from,group,as_of,label,event_time,event_hour,past_rate_by_group",
        lambda n: (
            f"{n},{moment(n)},{n % 9}.5,{'xyz'[n % 3]},{n % 5}.5,{n % 4}.5,{n % 7}.5,{n % 24}.5,1.5"
        ),
        "order,class,import",
        lambda n: f"{n},{moment(n + 1)},{n % 7}",
        {"label": "true_one: import > 2", "event_time": "select", "owner": """The "best" team's"""},
    ),
    # Nothing but the key and the event; an outcome that does not say when it was known.
    "bare": (
        "id,at",
        lambda n: f"{n},{moment(n)}",
        "id,bad",
        lambda n: f"{n},{'true' if n % 3 else 'false'}",
        {"label": "bad"},
    ),
    # Columns that are constant, empty, dates or names, and others of which cells are missing.
    "nothing_to_learn": (
        "id,at,constant,empty,day,person,seen_at,amount,flag",
        lambda n: (
            f"{n},{moment(n)},1,,2026-01-{n % 28 + 1:02},p{n},"
            f"{moment(n - 3) if n % 4 else ''},{n if n % 5 else ''},{'true' if n % 2 else ''}"
        ),
        "id,bad",
        lambda n: f"{n},{n % 2}",
        {"label": "bad: bad = 1"},
    ),
    # A key of four columns, with names as long as a line.
    "long_names": (
        f"{'a' * 60},{'b' * 60},{'c' * 90},{'d' * 30},at,{'e' * 94}",
        lambda n: f"{n % 2},{n // 2 % 2},{n // 4 % 3},{n // 12},{moment(n // 12)},{n % 3}.5",
        f"{'a' * 60},{'b' * 60},{'c' * 90},{'d' * 30},known_at_last,bad",
        lambda n: f"{n % 2},{n // 2 % 2},{n // 4 % 3},{n // 12},{moment(n)},true",
        {"label": "bad"},
    ),
}
"""Header and rows of entities, of outcomes, and wishes."""


@pytest.mark.parametrize("name", AWKWARD)
def test_whatever_columns_are_called_the_drafted_file_is_sound(tmp_path: Path, name: str) -> None:
    header, row, outcome_header, outcome, wishes = AWKWARD[name]
    entities = csv(tmp_path, "class", header, [row(n) for n in range(60)], ";")
    outcomes = csv(tmp_path, "features", outcome_header, [outcome(n) for n in range(60)], "\t")
    lookup = csv(tmp_path, "planes", "id,at_base,maker", ["1,2026-01-01T00:00:00Z,x", "2,,x"])
    found = drafted(entities, outcomes, lookup, **{**wishes, "name": name})
    declared(tmp_path, dag_file(found), name)
    assert ruff_finds(found) == ""


@pytest.mark.parametrize(
    ("days", "held_out"), [(30, 20), (55, 20), (56, 28), (90, 28), (112, 35), (365, 56)]
)
def test_a_third_of_the_sample_is_held_out_in_whole_weeks(
    tmp_path: Path, days: int, held_out: int
) -> None:
    found = drafted(parcels(tmp_path), deliveries(tmp_path))
    long = replace(found, days=days)
    assert long.test_days == held_out
    told = {20: f"spans {days} days", 28: f"{2800 / days:.0f} %", 35: "31 %", 56: "15 %"}
    assert told[held_out] in dag_file(long)


@pytest.mark.parametrize(
    ("header", "rows", "key"),
    [
        ("amount,order_id", ["1,7", "2,8"], ("order_id",)),
        ("amount,ref", ["1,a", "2,b"], ("ref",)),
        ("amount_paid,ref", ["1,a", "2,b"], ("ref",)),  # a name that ends in id names no thing
        ("amount,id", ["1,7", "2,8"], ("id",)),
        ("day,machine,load", ["2026-01-01,a,.5", "2026-01-01,b,.5", "2026-01-02,a,.7"], ("day", "machine")),
        ("at,shop,till", [f"{moment(0)},a,x", f"{moment(1)},b,x", f"{moment(2)},a,y", f"{moment(3)},b,y"], ("shop", "till")),
        ("id,part", ["1,a", ",b", "2,b"], ("part",)),
        ("price", ["1.5", "2.5"], ()),
    ],
)  # fmt: skip
def test_a_key_is_few_columns_that_name_things(
    tmp_path: Path, header: str, rows: list[str], key: tuple[str, ...]
) -> None:
    if header == "id,part":
        rows = ["1,a", ",b"]
    assert guess_key(read(csv(tmp_path, "orders", header, rows), "")) == key


def test_an_event_comes_after_what_led_to_it(tmp_path: Path) -> None:
    header = "id,due_at,made_at,paid_at"
    rows = [f"{n},{moment(n + 3)},{moment(n)},{moment(n + 9) if n else ''}" for n in range(3)]
    table = read(csv(tmp_path, "orders", header, rows), "")
    assert guess_event_time(table) == "due_at"


def test_a_row_is_known_by_a_moment_that_never_comes_after_its_event(tmp_path: Path) -> None:
    rows = [f"{n},{moment(n)},{moment(n - 2)},{moment(n - 1 if n else 1)}" for n in range(9)]
    table = read(csv(tmp_path, "orders", "id,due_at,made_at,sent_at", rows), "")
    assert guess_known_before(table, "due_at") == "made_at"  # the first was sent after it was due
    assert guess_known_before(table, "made_at") is None


def test_what_rests_on_the_guess_of_when_a_row_was_known_is_told(tmp_path: Path) -> None:
    """No sample shows that a status was filled in after the row was made."""
    rows = [
        f"{n},{moment(n / 2 - 2)},{moment(n / 2)},{'lost' if n % 3 else 'sent'}" for n in range(60)
    ]
    orders = csv(tmp_path, "orders", "order_id,created_at,due_at,status", rows)
    states = csv(tmp_path, "states", "status,paid", ["lost,true", "sent,false"])
    outcomes = csv(tmp_path, "ends", "order_id,late", [f"{n},{n % 7 > 2}" for n in range(60)])
    guessed = drafted(orders, outcomes, states, label="late")
    assert guessed.guesses()[2] == (
        "orders, known_at: created_at (only true if no column changes after created_at; on it rest"
        " hours_since_created_at, status, event_weekday, event_hour, past_rate_by_status)"
    )
    assert guessed.view is not None
    joined = {"states_paid"}
    assert {feature.name for feature in guessed.view.features} - joined < set(
        guessed.view.of_entities
    )
    told = drafted(orders, outcomes, label="late", known_at={"orders": "created_at"})
    assert not any("known_at" in guess for guess in told.guesses())


@pytest.mark.parametrize(
    ("known_at", "days"),
    [({}, 60), ({"results": "noted_at"}, 1), ({"results": "seen_at"}, 3)],
    ids=str,
)
def test_labels_are_expected_when_what_says_so_is_known(
    tmp_path: Path, known_at: dict[str, str], days: int
) -> None:
    """A column of what happened long after the outcome was known delays no label."""
    header = "order_id,due_at,seen_at"  # its seen_at is another than that of the results
    rows = [f"{n},{moment(n)},{moment(n - 5)}" for n in range(30)]
    entities = csv(tmp_path, "orders", header, rows)
    lines = [f"{n},{moment(n + 5 / 24)},{moment(n + 60)},{moment(n + 2.5)},true" for n in range(30)]
    outcomes = csv(tmp_path, "results", "order_id,noted_at,archived_at,seen_at,late", lines)
    found = drafted(entities, outcomes, label="late", event_time="due_at", known_at=known_at)
    assert found.label is not None
    assert found.label.expected_after == timedelta(days=days)


def test_of_a_few_days_it_is_said_that_keys_may_come_again(tmp_path: Path) -> None:
    told = drafted(parcels(tmp_path, rows=6), deliveries(tmp_path)).guesses()
    assert told[0] == (
        "parcels: the sample spans 3 days, so a key that comes again on another day was not seen:"
        " give some weeks, or --key"
    )


def test_what_was_asked_for_is_taken_and_not_guessed(tmp_path: Path) -> None:
    found = drafted(
        parcels(tmp_path),
        deliveries(tmp_path),
        key=("parcel_id",),
        event_time="sent_at",
        known_at={"parcels": "sent_at", "deliveries": "delivered_at"},
        label_after=timedelta(hours=36),
    )
    assert (found.entities.event_time, found.entities.known_at) == ("sent_at", "sent_at")
    assert found.guesses() == []
    assert "expected_after=timedelta(hours=36)," in dag_file(found)


def test_a_table_that_is_looked_up_by_key_adds_its_columns(tmp_path: Path) -> None:
    depots = csv(tmp_path, "depots", "depot,doors", ["north,2", "south,5"])
    vans = csv(tmp_path, "vans", "van,seats", ["1,2", "2,3"])
    found = drafted(parcels(tmp_path), deliveries(tmp_path), depots, vans)
    text = dag_file(found)
    assert '_depots."doors" as "depots_doors"' in text
    assert 'left join "depots" _depots on _depots."depot" = a."depot"' in text
    assert "reads=[deliveries, depots]" in text
    assert 'name="vans",  # not read by the features yet' in text
    declared(tmp_path, text, "late_parcels")


def refused(entities: Path, outcomes: Path | None, *others: Path, **wishes: object) -> str:
    with pytest.raises(HeadframeError) as caught:
        drafted(entities, outcomes, *others, **wishes)
    return f"{type(caught.value).__name__}\n{caught.value}"


def test_what_cannot_be_drafted_is_refused_with_what_to_do(tmp_path: Path) -> None:
    good, known_outcomes = parcels(tmp_path), deliveries(tmp_path)
    twice = csv(tmp_path, "twice", "depot,due_at", [f"a,{moment(0)}", f"b,{moment(0)}"])
    no_time = csv(
        tmp_path, "no_time", "parcel_id,day,naive,at", ["1,2026-01-01,2026-01-01 08:00,", "2,2026-01-02,2026-01-02 08:00,2026-01-01T08:00:00Z"]
    )  # fmt: skip
    empty_keys = csv(tmp_path, "gaps", "parcel_id,days_late", ["1,2", ",3"])
    texts = [
        refused(good, known_outcomes, name="Late Parcels"),
        refused(good, known_outcomes, label=""),
        refused(good, known_outcomes, label="days_lat"),
        refused(good, known_outcomes, label="Late: days_late > 2"),
        refused(good, known_outcomes, key=("parcel", "insured")),
        refused(good, known_outcomes, event_time="depot"),
        refused(good, known_outcomes, known_at={"parcels": "due"}),
        refused(good, known_outcomes, known_at={"parcel": "due_at"}),
        refused(twice, known_outcomes),
        refused(no_time, known_outcomes),
        refused(good, empty_keys),
        refused(good, good),
    ]
    assert_golden("new/drafts", "\n\n".join(texts))
