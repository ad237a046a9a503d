"""A planted model on real flights: good while it is judged, bad in use, gone before its probation ends."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from examples import flight_delays as example
from pipelines.adapters.models import code_archive, decisions
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.stages.evaluate import evaluate
from pipelines.stages.ingest import ingest
from pipelines.stages.probation import probation
from pipelines.stages.promote import promote
from pipelines.stages.score import champion_version, score
from pipelines.stages.shadow import asked, shadow
from pipelines.stages.train import train
from pipelines.use_case import UseCase, load

REPOSITORY = Path(__file__).parents[2]
APRIL = datetime(2013, 4, 1, 4, tzinfo=UTC)
"""New York's midnight, at which the demo promotes its first model."""

BLOCKS, SETTLING = 28, 4
"""The days that the demo scores, and those until the last label is final."""

TURNS = """case when a.flight_date < date '2013-04-01' then 1 else -1 end
                   * (a.sched_dep_time // 100 * 60 + a.sched_dep_time % 100 - 840) as from_two,
               a.sched_dep_time // 100 * 60"""
"""Minutes after two o'clock, as long as the model is trained and judged; from April on, before it."""

SOUND, PLANTED = {"from_two"}, {"departs_minute", "arrives_minute", "hour_late"}
"""Features that the sound model leaves out, and those that the planted one does."""


def declare(settings: Settings, left_out: set[str]) -> UseCase:
    """Declare the demo's use case with a model that leaves features out, and a probation."""
    text = (REPOSITORY / "dags" / "flight_delays.py").read_text("utf-8")
    gates = text[text.index("    gates=[") : text.index("    scoring=Scoring(")]
    for old, new in (
        ("    Monitoring,\n", "    Monitoring,\n    Probation,\n"),
        ('    tier="governed",\n', '    tier="scheduled",\n    probation=Probation(blocks=28),\n'),
        ("a.sched_dep_time // 100 * 60", TURNS),
        (gates, '    gates=[BeatsBaseline("log_loss", margin=0.005)],\n'),
        (
            "list(columns.numeric)",
            f"[name for name in columns.numeric if name not in {sorted(left_out)}]",
        ),
        (
            "name in columns.categorical for name in columns.all",
            f"name in columns.categorical for name in columns.all if name not in {sorted(left_out)}",
        ),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    path = settings.dags / "flight_delays.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return load(path)


@pytest.mark.prove
def test_a_model_that_leans_on_what_turns_around_is_rolled_back_within_its_probation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_archive, "PACKAGE", tmp_path / "no_library")
    settings = Settings(
        home=tmp_path / "home", dags=tmp_path / "dags", expectations=REPOSITORY / "expectations"
    )
    landing = local(settings.landing)
    example.deliver(landing, first_day=date(2013, 1, 1), until=date(2013, 4, 1))
    for version, left_out in (("1", SOUND), ("2", PLANTED)):
        use_case = declare(settings, left_out)
        ingest(use_case, settings, as_of=APRIL, run="history")
        train(use_case, settings, as_of=APRIL, run="train", requester="sam")
        assert evaluate(use_case, settings, version=version).promotable
        promote(use_case, settings, version=version, as_of=APRIL)

    example.deliver(landing, first_day=date(2013, 4, 1), until=date(2013, 5, 3))
    until = APRIL + timedelta(days=BLOCKS)
    ingest(use_case, settings, as_of=until + timedelta(days=SETTLING), run="april")
    scored = score(use_case, settings, since=APRIL, until=until, run="score")
    shadowed = shadow(use_case, settings, windows=asked(use_case, settings, scored), run="score")
    assert shadowed is not None
    assert (scored.rows, scored.refused) == (shadowed.rows, shadowed.refused)

    said = []
    for day in range(1, BLOCKS + SETTLING + 1):
        said.append(probation(use_case, settings, as_of=APRIL + timedelta(days=day, hours=8)))
        if said[-1].outcome != "waiting":
            break
    assert said[-1].outcome == "rolled_back", said[-1].describe()
    # The first look is at seven blocks, and labels are final three days after a flight.
    assert 7 + SETTLING <= day <= BLOCKS + SETTLING
    assert champion_version(use_case, settings) == "1"
    last = decisions.read_all(settings)[-1].decision
    assert (last.kind, last.version, last.actor) == ("rolled_back", "1", "probation")
