"""Turning machines: a history in which one challenger is promoted after a monitoring, and rolled back.

Until MIXED low loads stop machines, then high ones, so the first champion, which learned from both, is
weak. What is trained a week later learned from high loads alone and is promoted. From TURNED on low loads
stop machines again, so it is worse than the champion before, whom the probation puts back.
"""

from pathlib import Path

from rich.progress import Progress

from pipelines.adapters.replay_home import ReplayHome, asked_of
from pipelines.adapters.replay_journal import Done, ReplayJournal
from pipelines.adapters.settings import Settings
from pipelines.cli.replay_run import replayed
from pipelines.domain.replay_result import ReplayResult
from pipelines.domain.replay_steps import RetrainPolicy
from pipelines.use_case import UseCase, load
from tests import machines
from tests.empty_databases import place_mlflow
from tests.machines import NAME, at

MIXED, BEGINS, TURNED, ENDS = 15, 55, 62, 73
"""Days, counted from the first; the history that is replayed is [BEGINS, ENDS)."""

PROMOTED, ROLLED_BACK = "2026-03-04T00:00:00", "2026-03-15T00:00:00"
"""When (UTC) the challenger is asked for and promoted, and when its probation ends."""

DECLARED = """minimum_labels=20),
    approval_expires=timedelta(days=1),
    probation=Probation(blocks=7, look_every=7),
    retraining=Retraining(on_labels=200, cooldown=timedelta(days=7), per_quarter=1),"""


def declare(settings: Settings) -> UseCase:
    """Write the DAG file of the turning machines, and load it."""
    machines.declare(settings, machines.Variant(tier="governed", margin=0.001, minimum_labels=20))
    file = settings.dags / f"{NAME}.py"
    text = file.read_text("utf-8")
    for found, wanted in (
        ("minimum_labels=20),", DECLARED),
        ("Scoring, Table", "Probation, Retraining, Scoring, Sliding, Table"),
        ("training=Training(", "training=Training(window=Sliding(20),"),
        ("confidence=0.95)]", "confidence=0.7)]"),
    ):
        assert found in text
        text = text.replace(found, wanted)
    file.write_text(text, "utf-8")
    return load(file)


def build(folder: Path) -> UseCase:
    """Deliver and take in the whole history, below ``folder``."""
    settings = machines.settings_in(folder)
    use_case = declare(settings)
    machines.deliver(settings, until=MIXED, turned=True)
    machines.deliver(settings, first=MIXED, until=TURNED)
    machines.deliver(settings, first=TURNED, until=ENDS, turned=True)
    machines.take_in(use_case, settings)
    place_mlflow(settings.root / "mlflow" / "mlflow.db")
    return use_case


def home_of(
    settings: Settings, use_case: UseCase, *, begins: int = BEGINS, ends: int = ENDS
) -> ReplayHome:
    """Return the home of a replay of the days [begins, ends), week by week."""
    asked = asked_of(
        settings, NAME, use_case.digest(), since=at(begins, 0), until=at(ends, 0), every="week",
        fixed=False,
    )  # fmt: skip
    home = ReplayHome(settings, asked)
    database = home.settings().root / "mlflow" / "mlflow.db"
    if not database.exists():
        place_mlflow(database)
    return home


def replay(use_case: UseCase, settings: Settings, *policies: RetrainPolicy) -> ReplayResult:
    """Replay the whole history."""
    return replayed(use_case, home_of(settings, use_case), policies, Progress(disable=True))


LONGEST_SECONDS = 300
"""Wall seconds of a whole replay in a process of its own, on a machine that does other things, too."""


def go_on(use_case: UseCase, settings: Settings) -> None:
    """Replay the declared policy from where it is, in a process of its own."""
    replay(use_case, settings, "declared")


def go_on_in_lumps(use_case: UseCase, settings: Settings) -> None:
    """Replay as with one journal entry for all that a monitoring leads to: the control.

    What is done of it before its last step is forgotten by a kill.
    """
    add = ReplayJournal.add

    def later(self: ReplayJournal, done: Done) -> None:
        if done.step.partition("__")[0] in ("monitor", "probation", "retrain"):
            self._done[done.step] = done
        else:
            add(self, done)

    ReplayJournal.add = later  # type: ignore[method-assign]  # in a process of its own
    replay(use_case, settings, "declared")
