"""Closed blocks: one whose labels are all settled is measured once, and again where what it says changed."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import performance_store, prediction_store
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.errors import LakeError
from pipelines.stages.ingest import ingest
from pipelines.stages.monitor import monitor
from pipelines.stages.promote import promote
from pipelines.stages.rollback import rollback
from pipelines.stages.score import score
from pipelines.use_case import UseCase, load
from tests import machines
from tests.machines import Variant, at

Home = tuple[UseCase, Settings]
Rows = list[dict[str, Any]]

SCORED = range(43, 50)
"""Days with predictions; those before day 46 are closed at noon of day 50."""


@pytest.fixture
def closed(promoted: Home) -> Home:
    """Return a home whose predictions were measured, five of seven days for good."""
    use_case, settings = promoted
    score(use_case, settings, since=at(SCORED[0], 0), until=at(SCORED[-1] + 1, 0), run="test")
    found = measured(promoted, at(50))
    assert [block["pending"] > 0 for block in found] == [False] * 5 + [True] * 2
    return promoted


def measured(home: Home, as_of: datetime) -> Rows:
    """Monitor, and return how each block did."""
    use_case, settings = home
    return [asdict(block) for block in monitor(use_case, settings, as_of=as_of, run="test").blocks]


def measured_anew(home: Home, as_of: datetime) -> Rows:
    """Monitor as if nothing had ever been measured."""
    shutil.rmtree(local(lake.performance(home[1], machines.NAME)))
    return measured(home, as_of)


def land_outcome(home: Home, minutes: int, *, known: datetime, name: str = "again") -> None:
    """Take in another outcome of day 43 for every machine."""
    use_case, settings = home
    day = machines.FIRST + timedelta(days=43)
    rows = [f"{day},{'AB'[n % 2]}{n:02},{minutes}" for n in range(machines.MACHINES)]
    header = "day,machine,stop_minutes"
    machines.land(settings, f"outcome/{day}_{name}.csv", header, rows, known)
    ingest(use_case, settings, as_of=at(60), run="test")


def watched_by_another_model(home: Home) -> Home:
    """Promote one that has not scored: nothing then reads predictions for the losses of the champion."""
    promote(home[0], home[1], version="2", as_of=at(50))
    return home


def break_predictions(settings: Settings, days: range) -> None:
    """Damage the prediction files of some days, so that nobody can read them."""
    table = local(lake.predictions(settings, machines.NAME))
    for window in prediction_store.standing(settings, machines.NAME):
        if at(days[0], 0) <= window.scored_for < at(days[-1] + 1, 0):
            for path in window.files:
                (table / path).write_bytes(b"none")


def test_a_closed_block_is_not_read_again(closed: Home) -> None:
    use_case, settings = watched_by_another_model(closed)
    before = measured(closed, at(50))
    machines.deliver(settings, first=51, until=53)  # known after that
    machines.take_in(use_case, settings)
    break_predictions(settings, range(43, 48))
    later = measured(closed, at(51))
    assert later[:5] == before[:5]
    assert later[5] != before[5]
    with pytest.raises(LakeError):  # the control: with nothing measured they are read
        measured_anew(closed, at(51))


def corrected(home: Home) -> Home:
    """Take in, late, what was known of a closed day before its labels became final."""
    land_outcome(home, 30, known=at(44, 9))
    return home


def rescored(home: Home) -> Home:
    """Score all days again with another model."""
    use_case, settings = home
    promote(use_case, settings, version="2", as_of=at(50))
    score(use_case, settings, since=at(SCORED[0], 0), until=at(SCORED[-1] + 1, 0), run="again")
    return home


def declared_otherwise(home: Home) -> Home:
    """Ask for more labels in a block than there are."""
    return machines.declare(home[1], Variant(minimum_labels=41)), home[1]


def with_another_label(home: Home) -> Home:
    """Call it a stop after a minute."""
    path = home[1].dags / f"{machines.NAME}.py"
    machines.declare(home[1])
    path.write_text(path.read_text().replace("stop_minutes > 10", "stop_minutes > 1"))
    return load(path), home[1]


@pytest.mark.parametrize("change", [corrected, rescored, declared_otherwise, with_another_label])
def test_a_closed_block_is_measured_again_where_what_it_was_measured_of_changed(
    closed: Home, change: Callable[[Home], Home]
) -> None:
    before = measured(closed, at(50))
    home = change(closed)
    after = measured(home, at(50))
    assert after[0] != before[0]
    assert after == measured_anew(home, at(50))
    assert measured(home, at(60)) == measured_anew(home, at(60))


def test_a_correction_after_labels_were_final_changes_nothing(closed: Home) -> None:
    before = measured(closed, at(50))
    land_outcome(closed, 30, known=at(49, 9))
    after = measured(closed, at(50))
    assert after == before == measured_anew(closed, at(50))


def test_an_earlier_monitoring_sees_blocks_as_they_were_then(closed: Home) -> None:
    latest = measured(closed, at(60))
    early = measured(closed, at(46))
    assert [block["pending"] for block in early[2:]] == [40] * len(early[2:])
    assert early == measured_anew(closed, at(46))
    assert measured(closed, at(60)) == latest


def test_blocks_of_two_generations_ago_are_not_those_that_stand(closed: Home) -> None:
    """What stands again is of a new generation, though the same model made it of the same rows."""
    use_case, settings = closed
    first = measured(closed, at(60))
    rescored(closed)
    second = measured(closed, at(60))
    assert {block["model_versions"] for block in second} == {"2"}
    since, until = at(SCORED[0], 0), at(SCORED[-1] + 1, 0)
    settings.users_file.write_text('[users]\nolga = ["operator"]\n', "utf-8")
    rollback(use_case, settings, actor="olga", reason="worse", as_of=at(50))
    score(use_case, settings, since=since, until=until, run="back")
    assert measured(closed, at(60)) == first


def test_what_was_known_before_and_came_after_is_looked_at_once(closed: Home) -> None:
    """A plan of the evening before came after the monitoring: nothing it changes, and that is seen once."""
    use_case, settings = watched_by_another_model(closed)
    before = measured(closed, at(50))
    machines.deliver(settings, first=50, until=51)
    machines.take_in(use_case, settings)
    assert measured(closed, at(50)) == before
    break_predictions(settings, range(43, 48))
    assert measured(closed, at(50)) == before


def test_what_is_declared_as_before_is_measured_as_before(closed: Home) -> None:
    """The row that stands is of the declaration in between, whatever was measured earlier."""
    before = measured(closed, at(60))
    for change in (declared_otherwise, with_another_label):
        assert measured(change(closed), at(60)) != before
        machines.declare(closed[1])
        assert measured(closed, at(60)) == before


def test_what_an_overtaken_monitoring_wrote_last_is_not_taken_for_what_stands(closed: Home) -> None:
    use_case, settings = closed
    old = monitor(use_case, settings, as_of=at(60), run="test").blocks
    rescored(closed)
    new = measured(closed, at(60))
    closings = performance_store.closings(
        old,
        as_of=at(60),
        sources={block.block: "of the first generation" for block in old},
        done={},
        edition=lambda _: 1,
    )
    performance_store.keep(settings, machines.NAME, old, closings, as_of=at(60), run="overtaken")
    assert measured(closed, at(60)) == new == measured_anew(closed, at(60))


def test_marks_of_a_table_that_was_written_without_them_do_not_count(closed: Home) -> None:
    """As by a release that knows nothing of them."""
    before = measured(closed, at(60))
    table = lake.performance(closed[1], machines.NAME)

    def without(number: int) -> delta_tables.Change:
        rows = delta_tables.read(table)
        place = rows.column_names.index("final")
        rows = rows.set_column(place, "final", pa.array([0] * rows.num_rows))
        return delta_tables.Change(rows=rows, metadata={}, replace="true")

    delta_tables.commit_next(table, delta_tables.schema(table), performance_store.SEQUENCE, without)
    assert measured(closed, at(60)) == before


def test_a_block_has_two_marks_however_often_it_is_measured(closed: Home) -> None:
    table = lake.performance(closed[1], machines.NAME)
    for strikes in (30, 31, 32):
        land_outcome(closed, strikes, known=at(44, 9), name=f"again_{strikes}")
        assert measured(closed, at(50))[0]["positives"] == machines.MACHINES
    marks = delta_tables.transactions_of(table, "")
    days = [str(machines.FIRST + timedelta(days=day)) for day in SCORED]
    assert sorted(marks) == sorted(
        [
            "closed",
            "performance",
            *(f"{mark}:{day}" for mark in ("closed", "stands") for day in days[:5]),
        ]
    )
    assert marks["closed"] == marks["performance"]
