"""A scoring that is killed anywhere, and run again, leaves the predictions of one clean run."""

import os
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from tests import machines
from tests.faults import score_runs
from tests.faults.model_runs import Ended, run_work
from tests.faults.random_kills import Kills, kill_somewhere
from tests.faults.score_runs import (
    OVERTAKEN,
    STEPS,
    Step,
    correct,
    do,
    published,
    scored_by,
    scored_naively,
)
from tests.faults.score_state import Rows, broken_promises, folders, state

ROOT = Path(__file__).parent.parent.parent
SEED = 20261121

FAILPOINTS = (
    "score.after_parts",
    "score.between_history_and_predictions",
    "score.between_refused_and_predictions",
    "score.after_predictions",
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with two models that were champion, and nothing scored."""
    folder = tmp_path_factory.mktemp("score")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.adapters.models.code_archive.PACKAGE", folder / "no_library")
        return score_runs.build(machines.build_template(folder / "base"), folder / "start")


@pytest.fixture(scope="module")
def clean(start: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Rows]]:
    """Return what is left after each step when nothing happens."""
    folder = tmp_path_factory.mktemp("clean")
    settings = machines.copy_template(start, folder)
    found = []
    for step in STEPS:
        if step.corrected:
            correct(folder)
        do(folder, step)
        assert broken_promises(settings) == []
        found.append(state(settings))
    return found


@pytest.fixture(scope="module")
def replaceable(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose predictions are those of version 1, to be replaced."""
    folder = tmp_path_factory.mktemp("replaceable")
    machines.copy_template(start, folder)
    do(folder, STEPS[0])
    return folder


def numbers(rows: dict[str, Rows]) -> dict[str, int]:
    return {name: sum(found.values()) for name, found in rows.items()}


def test_a_clean_run_replaces_carries_and_refuses_rows(clean: list[dict[str, Rows]]) -> None:
    days, whole = len(score_runs.DAYS), len(score_runs.DAYS) * machines.MACHINES
    assert all(set(found.values()) == {1} for rows in clean for found in rows.values() if found)
    first, another, again, late, *_, last = map(numbers, clean)
    refused = first["refused"]
    assert 0 < refused < whole / days
    assert first == {"current": whole - refused, "history": 0, "refused": refused}
    assert another == {
        "current": whole - refused,
        "history": whole - refused,
        "refused": 2 * refused,
    }
    assert again["history"] == 2 * (whole - refused)
    assert late["current"] == whole - refused
    assert late["history"] > again["history"]
    assert last["current"] == whole - refused


@pytest.mark.parametrize(
    "failpoints",
    [
        pytest.param(FAILPOINTS, id="each in turn"),
        *(pytest.param((name,) * 2, id=name, marks=pytest.mark.prove) for name in FAILPOINTS),
    ],
)
def test_kills_at_named_points_change_nothing_in_the_end(
    failpoints: tuple[str, ...], replaceable: Path, clean: list[dict[str, Rows]], tmp_path: Path
) -> None:
    settings = machines.copy_template(replaceable, tmp_path)
    for failpoint in failpoints:  # each run goes on where the one before was killed
        ended = run_work(tmp_path, partial(scored_by, "2"), failpoint)
        assert ended.killed
        assert ended.reached == (failpoint,), "the kill landed where it was meant to, once"
    do(tmp_path, STEPS[1])
    assert state(settings) == clean[1]
    assert broken_promises(settings) == []


@pytest.mark.prove
def test_a_part_made_twice_and_a_publication_killed_anywhere_change_nothing_in_the_end(
    replaceable: Path, clean: list[dict[str, Rows]], tmp_path: Path
) -> None:
    settings = machines.copy_template(replaceable, tmp_path)
    do(tmp_path, STEPS[1])
    *before, publish = STEPS[2].pieces
    assert publish is published
    do(tmp_path, Step("plan and parts", tuple(before)))
    do(tmp_path, Step("a part whose answer was lost", (before[1],)))
    for failpoint in FAILPOINTS:
        assert run_work(tmp_path, published, failpoint) == Ended(-signal.SIGKILL, (failpoint,))
    do(tmp_path, Step("publish, twice", (published, published)))
    assert state(settings) == clean[2]
    assert broken_promises(settings) == []


def test_a_plan_that_another_run_overtook_is_refused_and_changes_nothing(
    replaceable: Path, clean: list[dict[str, Rows]], tmp_path: Path
) -> None:
    settings = machines.copy_template(replaceable, tmp_path)
    *before, _ = STEPS[2].pieces
    do(tmp_path, STEPS[1])
    do(tmp_path, Step("plan and parts", tuple(before)))
    do(tmp_path, STEPS[3])  # publishes days 46, 48 and 49 in between
    ahead = state(settings)
    assert run_work(tmp_path, published) == Ended(OVERTAKEN, ())
    assert broken_promises(settings) == []
    # Days 44 and 45 were published before the first one that had been overtaken, day 46.
    added = state(settings)["history"] - ahead["history"]
    assert sum(added.values()) == 2 * machines.MACHINES
    assert ahead["history"] <= state(settings)["history"]


# A syscall


CHILD = """
import sys
from functools import partial
from pathlib import Path
from pipelines.use_case import load
from tests import machines
from tests.faults.model_runs import with_stable_code
from tests.faults.score_runs import scored_by
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    settings = machines.settings_in(folder)
    scored_by("2", load(settings.dags / "machines.py"), settings)
"""


def killed_at(folder: Path, call: str, path: Path) -> tuple[int, str]:
    """Score under strace, which kills on entry of a system call that concerns ``path``."""
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when=1"]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(path), *inject]
    ended = subprocess.run(
        [*command, sys.executable, "-c", CHILD, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return ended.returncode, ended.stderr


def commit_file(settings: Settings, table: str, number: int) -> Path:
    """Return the file of a commit of a table that has been there, or is to be."""
    return local(folders(settings)[table]) / "_delta_log" / f"{number:020}.json"


@pytest.mark.needs_strace
@pytest.mark.parametrize(
    ("commit", "call"),
    [
        pytest.param(("current", 7), "unlink", marks=pytest.mark.prove),
        pytest.param(("current", 7), "linkat", marks=pytest.mark.prove),
        pytest.param(("current", 9), "linkat", marks=pytest.mark.prove),
        pytest.param(("current", 12), "unlink", marks=pytest.mark.prove),
        pytest.param(("history", 0), "linkat", marks=pytest.mark.prove),
        pytest.param(("history", 0), "unlink", marks=pytest.mark.prove),
        pytest.param(("history", 1), "linkat", marks=pytest.mark.prove),
        pytest.param(("history", 1), "unlink", marks=pytest.mark.prove),
        pytest.param(("refused", 3), "linkat", marks=pytest.mark.prove),
        pytest.param(("refused", 3), "unlink", marks=pytest.mark.prove),
    ],
)
def test_a_kill_inside_a_commit_changes_nothing_in_the_end(
    commit: tuple[str, int],
    call: str,
    replaceable: Path,
    clean: list[dict[str, Rows]],
    tmp_path: Path,
) -> None:
    """Before linkat a commit is invisible; at unlink it is visible, and nobody was told."""
    settings = machines.copy_template(replaceable, tmp_path)
    file = commit_file(settings, *commit)
    assert not file.exists()
    named = file.with_name(f"{file.name}#1") if call == "unlink" else file
    status, errors = killed_at(tmp_path, call, named)
    assert status == -signal.SIGKILL, errors
    assert file.exists() is (call == "unlink")
    do(tmp_path, STEPS[1])
    assert state(settings) == clean[1]
    assert broken_promises(settings) == []


# Anywhere


def kill_at_random(
    start: Path, folder: Path, clean: list[dict[str, Rows]], kills: Kills, *, writers: int
) -> None:
    """Go through as many steps as there are clean ones, home after home, killing at random.

    After every step that was killed and run again the home is compared with a clean one.
    """
    while not kills.enough:
        kills.homes += 1
        home = folder / f"home{kills.homes}"
        settings = machines.copy_template(start, home)
        for step, expected in zip(STEPS, clean, strict=False):
            if step.corrected:
                correct(home)
            for piece in step.pieces:
                tries, ended = 0 if kills.enough else kills.chance.randint(1, 4), False
                while tries and not ended:
                    ended = kill_somewhere(home, [piece] * writers, kills)
                    tries -= 1
                if not ended or writers > 1:
                    do(home, Step(step.name, (piece,)))
            assert state(settings) == expected, (step.name, str(kills))
            assert broken_promises(settings) == []


def told(kills: Kills, what: str) -> None:
    sys.stdout.write(f"{what}, seed {SEED}: {kills}\n")


@pytest.mark.prove
def test_a_few_random_kills_change_nothing_in_the_end(
    start: Path, clean: list[dict[str, Rows]], tmp_path: Path
) -> None:
    kills = Kills(wanted=4, chance=random.Random(SEED))  # noqa: S311 - the same kills each time
    kill_at_random(start, tmp_path, clean[:2], kills, writers=1)
    told(kills, "one scorer")
    assert kills.in_progress >= 4


@pytest.mark.prove
@pytest.mark.parametrize("writers", [1, 2])
def test_random_kills_change_nothing_in_the_end(
    writers: int, start: Path, clean: list[dict[str, Rows]], tmp_path: Path
) -> None:
    kills = Kills(wanted=100, chance=random.Random(SEED + writers))  # noqa: S311 - as above
    kill_at_random(start, tmp_path, clean, kills, writers=writers)
    told(kills, f"{writers} scorers at once")
    assert kills.in_progress >= 100
    assert kills.in_progress >= 0.8 * kills.killed, "too few kills hit a run at work"


@pytest.mark.prove
def test_scorers_of_two_models_that_are_killed_leave_every_window_whole(
    start: Path, clean: list[dict[str, Rows]], tmp_path: Path
) -> None:
    settings = machines.copy_template(start, tmp_path)
    kills = Kills(wanted=30, chance=random.Random(SEED))  # noqa: S311 - as above
    rivals = [partial(scored_by, "1"), partial(scored_by, "2")]
    while not kills.enough:
        kill_somewhere(tmp_path, rivals, kills)
        assert broken_promises(settings) == []
    told(kills, "scorers of two models at once")
    do(tmp_path, STEPS[1])
    assert broken_promises(settings) == []
    assert unnumbered(state(settings)["current"]) == unnumbered(clean[1]["current"])


def unnumbered(rows: Rows) -> Rows:
    """Return rows without their generation, which tells how often they were replaced."""
    return Rows(row.rpartition(", 'generation': ")[0] for row in rows)


# Controls


def test_the_control_shows_the_fault_an_append_without_a_run_key_doubles_predictions(
    start: Path, tmp_path: Path
) -> None:
    settings = machines.copy_template(start, tmp_path / "killed")
    undisturbed = machines.copy_template(start, tmp_path / "clean")
    naive = Step("naively", (scored_naively,))
    do(tmp_path / "clean", naive)
    ended = run_work(tmp_path / "killed", scored_naively, "score.after_predictions")
    assert ended.reached == ("score.after_predictions",)
    do(tmp_path / "killed", naive)
    found, expected = appended(settings), appended(undisturbed)
    assert found != expected
    assert (max(expected.values()), max(found.values())) == (1, 2)


def appended(settings: Settings) -> Rows:
    """Return the rows of the control's table, which is none of Headframe's."""
    from deltalake import DeltaTable

    table = DeltaTable(str(folders(settings)["current"])).to_pyarrow_table()
    return Rows(map(repr, table.to_pylist()))


@pytest.mark.prove
def test_random_kills_double_predictions_where_an_append_has_no_run_key(
    start: Path, tmp_path: Path
) -> None:
    kills = Kills(wanted=20, chance=random.Random(SEED))  # noqa: S311 - as above
    doubled = 0
    while not kills.enough:
        kills.homes += 1
        home = tmp_path / f"home{kills.homes}"
        settings = machines.copy_template(start, home)
        while not kills.enough and not kill_somewhere(home, [scored_naively], kills):
            pass
        do(home, Step("naively", (scored_naively,)))
        doubled += max(appended(settings).values()) > 1
    told(kills, f"an append without a run key: {doubled} homes with doubled predictions")
    assert doubled
