"""Closed losses: those of blocks whose labels are all settled are kept, and equal what is measured anew."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, moment_groups
from pipelines.adapters.models import (
    champion_losses,
    feature_store,
    known,
    loss_store,
    prediction_store,
)
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.domain.drift.losses import MEASURE_OF_LOSSES, BlockLosses, losses_of
from pipelines.domain.features import feature_digest
from pipelines.domain.lateness import TICK
from pipelines.domain.monitored import Judged
from pipelines.domain.scoring import LateWindow
from pipelines.domain.watch_losses import judge_losses
from pipelines.errors import LakeError
from pipelines.stages import monitor as monitor_stage
from pipelines.stages.ingest import ingest
from pipelines.stages.monitor import monitor
from pipelines.stages.promote import promote
from pipelines.stages.reingest import reingest
from pipelines.stages.rollback import rollback
from pipelines.stages.score import score
from pipelines.use_case import TrainedUseCase, UseCase, load
from tests import machines
from tests.machines import Variant, at

FIRST, LAST = 50, 56
"""Days with predictions of the champion; those before day 55 are closed at noon of day 57."""

NOW, LATER = at(57), at(67)

SEGMENTED = ', segments=["family"]'
USUAL = Variant(minimum_labels=19, more_monitoring=SEGMENTED)
"""Of forty machines a half is in each segment, and of some days too few of a half have a label."""


@dataclass
class Plant:
    """The machines with a champion, and the losses that each monitoring judged, with what it said."""

    use_case: UseCase
    settings: Settings
    judged: list[tuple[BlockLosses, list[Judged]]] = field(default_factory=list)

    def losses(self, as_of: datetime = NOW, *, filled_in: bool = False) -> dict[str, Any]:
        """Monitor, and return the losses that were judged to the last bit, and what was said of them."""
        self.judged.clear()
        monitor(self.use_case, self.settings, as_of=as_of, run="test", filled_in=filled_in)
        ((found, said),) = self.judged
        told = {"blocks": found.blocks, "segments": found.segments, "said": repr(said)}
        return {**told, **exact(found)}

    def anew(self, as_of: datetime = NOW, *, filled_in: bool = False) -> dict[str, Any]:
        """Return the losses of a monitoring before which none were kept."""
        shutil.rmtree(self.kept)
        return self.losses(as_of, filled_in=filled_in)

    @property
    def kept(self) -> Path:
        return local(lake.losses(self.settings, machines.NAME))

    def declare(self, variant: Variant) -> None:
        self.use_case = machines.declare(self.settings, variant)

    def rewrite(self, old: str, new: str) -> None:
        """Change the declaration in one place."""
        path = self.settings.dags / f"{machines.NAME}.py"
        text = path.read_text("utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), "utf-8")
        self.use_case = load(path)

    def score(self, first: int = FIRST, last: int = LAST) -> None:
        """Score days with the champion, each as of its own time."""
        since, until = at(first, 0), at(last + 1, 0)
        score(self.use_case, self.settings, since=since, until=until, run="test")

    def promote(self, version: str) -> None:
        promote(self.use_case, self.settings, version=version, as_of=NOW)

    def roll_back(self) -> None:
        self.settings.users_file.write_text('[users]\nolga = ["operator"]\n', "utf-8")
        rollback(self.use_case, self.settings, actor="olga", reason="worse", as_of=NOW)

    def land(self, name: str, header: str, rows: list[str], *, known: datetime) -> None:
        machines.land(self.settings, name, header, rows, known)
        ingest(self.use_case, self.settings, as_of=at(400), run="test")

    def score_afternoon(self, day: int) -> None:
        """Score what is ahead at noon of a day again, as where a file came by then."""
        late = LateWindow(
            scored_for=at(day, 4), as_of=noon(day), until=at(day + 1, 4), reason="late: a test"
        )
        score(self.use_case, self.settings, since=NOW, until=NOW, late=[late], run="late")

    def describe(self, day: int, as_of: datetime) -> None:
        """Compute features of a day as of a time where they are not up to date."""
        parts = TrainedUseCase.of(self.use_case)
        digest = feature_digest(parts.features, parts.label)
        folder = lake.features(self.settings, machines.NAME, digest)
        tables = known.load(self.settings, machines.NAME, parts.features, parts.label)
        since = {} if as_of == at(day, 4) else {as_of: at(day, 4)}
        feature_store.describe(
            folder, parts.features, tables, [(as_of, at(day + 1, 4))], since=since
        )

    def break_predictions(self, first: int, last: int) -> None:
        """Damage the prediction files of some days, so that nobody can read them."""
        table = local(lake.predictions(self.settings, machines.NAME))
        for window in prediction_store.standing(self.settings, machines.NAME):
            if at(first, 0) <= window.scored_for < at(last + 1, 0):
                for path in window.files:
                    (table / path).write_bytes(b"none")


def noon(day: int) -> datetime:
    """Return a time that is no scoring time."""
    return at(day, 12) + TICK


def exact(losses: BlockLosses) -> dict[str, Any]:
    """Return the numbers of losses with their type and shape, to the last bit."""
    arrays = {name: getattr(losses, name) for name in ("rows", "loss", "residual", "contrast")}
    return {
        name: (array.dtype.str, array.shape, [float(value).hex() for value in array.ravel()])
        for name, array in arrays.items()
    }


@pytest.fixture
def plant(promoted: tuple[UseCase, Settings], monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Return a plant whose seven days of predictions were monitored, five of them closed."""
    settings = promoted[1]
    machines.deliver(settings, first=FIRST, until=LAST + 4)
    found = Plant(machines.declare(settings, USUAL), settings)
    machines.take_in(found.use_case, settings)

    def judged(current: BlockLosses, *others: Any) -> list[Judged]:  # noqa: ANN401 - as it has
        said = judge_losses(current, *others)
        found.judged.append((current, said))
        return said

    monkeypatch.setattr(monitor_stage, "judge_losses", judged)
    found.score()
    found.losses()
    return found


def test_what_is_kept_of_closed_blocks_is_what_is_measured_anew(plant: Plant) -> None:
    times = [at(53), at(55), NOW, NOW, LATER, LATER]
    kept = [plant.losses(as_of) for as_of in times]
    assert len(kept[-1]["blocks"]) == LAST + 1 - FIRST
    numbers = [value == "nan" for value in kept[-1]["contrast"][2]]
    assert {True, False} <= {*numbers}, "segments with enough labels and with too few"
    assert kept == [plant.anew(as_of) for as_of in times]


def test_rows_are_kept_of_closed_blocks_alone_and_each_once(plant: Plant) -> None:
    table = lake.losses(plant.settings, machines.NAME)
    days = [str(machines.FIRST + timedelta(days=day)) for day in range(FIRST, LAST + 1)]
    rows = delta_tables.read(table).sort_by("block").to_pylist()
    assert [(row["model_version"], row["block"]) for row in rows] == [("1", d) for d in days[:5]]
    version = delta_tables.version(table)
    plant.losses(NOW + timedelta(hours=1))
    assert delta_tables.version(table) == version
    plant.losses(LATER)
    assert delta_tables.version(table) == version + 1
    again = delta_tables.read(table).sort_by("block").to_pylist()
    assert [row["block"] for row in again] == days
    assert [row["source"] for row in again[:5]] == [row["source"] for row in rows]
    assert len(delta_tables.files(table)) == 1


def test_for_losses_the_predictions_of_open_blocks_alone_are_read(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, described = plant.losses(), []
    read = moment_groups.read

    def seen(table: Any, column: str, wanted: Any, **named: Any) -> Any:  # noqa: ANN401 - as it has
        described.extend(wanted)
        return read(table, column, wanted, **named)

    monkeypatch.setattr(moment_groups, "read", seen)
    plant.break_predictions(FIRST, LAST - 2)
    assert plant.losses() == before
    assert sorted(described) == [at(LAST - 1, 4), at(LAST, 4)]
    with pytest.raises(LakeError):  # the control: where none are kept they are read
        plant.anew()


def test_for_losses_the_predictions_of_open_blocks_are_read(plant: Plant) -> None:
    plant.break_predictions(LAST - 1, LAST)
    with pytest.raises(LakeError):
        plant.losses()


def test_losses_of_another_number_are_measured_again(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(champion_losses, "MEASURE_OF_LOSSES", MEASURE_OF_LOSSES + 1)
    plant.break_predictions(FIRST, FIRST)
    with pytest.raises(LakeError):
        plant.losses()


def corrected(plant: Plant) -> None:
    """Take in, late, what was known of a closed day before its labels became final."""
    day = machines.FIRST + timedelta(days=FIRST)
    rows = [f"{day},{'AB'[n % 2]}{n:02},30" for n in range(machines.MACHINES)]
    plant.land("outcome/again.csv", "day,machine,stop_minutes", rows, known=at(51, 9))


def declared_otherwise(plant: Plant) -> None:
    """Ask for more labels than a segment has."""
    plant.declare(Variant(minimum_labels=21, more_monitoring=SEGMENTED))


def declared_with_too_few_labels(plant: Plant) -> None:
    """Ask for more labels than a block has."""
    plant.declare(Variant(minimum_labels=41, more_monitoring=SEGMENTED))


def with_another_label(plant: Plant) -> None:
    """Call it a stop after a minute."""
    plant.rewrite("stop_minutes > 10", "stop_minutes > 1")


def named_otherwise(plant: Plant) -> None:
    """Score at the same moments by a clock by which it is the day before."""
    plant.rewrite('time(5), timezone="Europe/Berlin"', 'time(17), timezone="Pacific/Pago_Pago"')


def without_segments(plant: Plant) -> None:
    """Hold the champion against what has no segments any more."""
    shutil.rmtree(local(lake.references(plant.settings, machines.NAME)))
    plant.declare(Variant(minimum_labels=19))


def scored_by_another(plant: Plant) -> None:
    """Have another champion that scored all days again."""
    plant.promote("2")
    plant.score()


def scored_there_and_back(plant: Plant) -> None:
    """Have the champion score again what another had scored: a generation of its own."""
    scored_by_another(plant)
    plant.losses()
    corrected(plant)
    plant.roll_back()
    plant.score()


def one_day_by_another(plant: Plant) -> None:
    """Leave one day to another champion that came and went."""
    plant.promote("2")
    plant.score(FIRST + 1, FIRST + 1)
    plant.losses()
    plant.roll_back()


def a_part_by_another(plant: Plant) -> None:
    """Leave the afternoon of a day to another champion that came and went."""
    plant.promote("2")
    plant.score_afternoon(FIRST + 1)
    (by_two,) = plant.losses()["rows"][2]
    assert 0 < float.fromhex(by_two) < machines.MACHINES
    plant.roll_back()


def without_a_machine(plant: Plant) -> None:
    """Know before a day was scored that a shift of it is a year later, and describe it again."""
    moved(plant, known=at(FIRST, 21), described=at(FIRST + 1, 4))


def without_a_machine_in_the_afternoon(plant: Plant) -> None:
    """Score an afternoon again, and know in the morning that a shift of it is a year later."""
    plant.score_afternoon(FIRST + 1)
    plant.losses()
    moved(plant, known=at(FIRST + 1, 8), described=noon(FIRST + 1))


def moved(plant: Plant, *, known: datetime, described: datetime) -> None:
    """Take a shift out of its day, and then out of features of that day: as training does."""
    day = machines.FIRST + timedelta(days=FIRST + 1)
    rows = [f"{day},A06,0.5,2027-01-01T07:00:00Z"]
    plant.land("plan/again.csv", "day,machine,load,shift_at", rows, known=known)
    before = plant.losses()
    plant.describe(FIRST + 1, described)
    assert plant.losses() != before


CHANGES = [
    corrected,
    declared_otherwise,
    declared_with_too_few_labels,
    with_another_label,
    named_otherwise,
    without_segments,
    scored_by_another,
    scored_there_and_back,
    one_day_by_another,
    a_part_by_another,
    without_a_machine,
    without_a_machine_in_the_afternoon,
]


@pytest.mark.parametrize("change", CHANGES)
def test_losses_are_measured_again_where_what_they_were_measured_of_changed(
    plant: Plant, change: Callable[[Plant], None]
) -> None:
    before = plant.losses()
    change(plant)
    after = plant.losses()
    assert after != before
    assert after == plant.anew()
    assert plant.losses(LATER) == plant.anew(LATER)


def test_a_table_that_is_ingested_again_changes_nothing_that_is_as_before(plant: Plant) -> None:
    before = plant.losses()
    for table in ("plan", "outcome"):
        reingest(plant.use_case, plant.settings, table=table, as_of=at(400), run="test")
    assert plant.losses() == before == plant.anew()


def test_a_time_that_is_filled_in_has_the_losses_that_it_had(plant: Plant) -> None:
    early = at(54)
    lived = plant.losses(early)
    later = plant.losses(LATER)
    scored = plant.losses(early, filled_in=True)
    assert len(scored["blocks"]) == 5
    assert scored == lived
    assert plant.losses(LATER) == later == plant.anew(LATER)
    plant.promote("2")
    assert plant.losses(early, filled_in=True) == plant.anew(early, filled_in=True)


def test_a_monitoring_that_was_cut_off_before_it_kept_losses_is_made_up_for(
    plant: Plant, tmp_path: Path
) -> None:
    soon = NOW + timedelta(minutes=10)
    corrected(plant)
    shutil.copytree(plant.kept, tmp_path / "before")
    performed = lake.performance(plant.settings, machines.NAME)
    plant.losses()
    shutil.rmtree(plant.kept)
    shutil.copytree(tmp_path / "before", plant.kept)
    version = delta_tables.version(performed)
    found = plant.losses(soon)
    assert delta_tables.version(performed) == version, "what blocks did was kept already"
    assert found == plant.anew(soon)


def test_what_an_overtaken_monitoring_wrote_last_is_not_taken_for_what_stands(plant: Plant) -> None:
    before = plant.losses(LATER)
    days = [at(day, 4) for day in range(FIRST, LAST + 1)]
    loss_store.keep(
        plant.settings,
        machines.NAME,
        "1",
        some_losses(before["blocks"], before["segments"]),
        times=days,
        sources=dict.fromkeys(days, "of the first generation"),
        run="overtaken",
    )
    assert plant.losses(LATER) == before


def some_losses(blocks: tuple[str, ...], segments: tuple[tuple[str, str], ...]) -> BlockLosses:
    """Return losses of blocks, one row in each."""
    places = list(range(len(blocks)))
    return losses_of(
        "brier",
        label=[1] * len(blocks),
        probability=np.linspace(0.1, 0.9, len(blocks)),
        blocks=blocks,
        of_row=places,
        segments={column: ["none"] * len(blocks) for column, _ in segments},
        levels=segments,
        minimum_rows=1,
    )


def test_two_that_keep_losses_at_the_same_time_take_nothing_from_each_other(tmp_path: Path) -> None:
    settings = machines.settings_in(tmp_path)
    every = [at(day, 4) for day in range(8)]
    sources = {start: f"of {start}" for start in every}

    def keep(version: str, start: datetime) -> None:
        losses = some_losses((str(start.date()),), ())
        asked = {"times": [start], "sources": sources, "run": "test"}
        loss_store.keep(settings, machines.NAME, version, losses, **asked)  # type: ignore[arg-type]

    with ThreadPoolExecutor(4) as pool:
        for version in ("1", "2"):
            list(pool.map(keep, [version] * len(every), every))
    for version in ("1", "2"):
        times, losses = loss_store.kept(settings, machines.NAME, version, sources, ())
        assert times == every
        assert losses.contrast.shape == (len(every), 0)
    none, losses = loss_store.kept(settings, machines.NAME, "3", sources, (("family", "A"),))
    assert (none, losses.blocks, losses.contrast.shape) == ([], (), (0, 1))
