"""Options of a replay: what is refused before anything is replayed; whose policy is the first."""

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.adapters.stores import whole_files
from pipelines.cli import app
from pipelines.cli.replay_commands import history_asked, policies_asked
from pipelines.errors import SettingsError
from tests import machines

COMMAND = ["replay", "nothing", "--from", "2026-01-01", "--until", "2026-02-01", "--page"]


def refused(page: Path) -> str:
    """Return what the command says of a use case that there is not, with a page."""
    told = CliRunner().invoke(app, [*COMMAND, str(page)])
    assert told.exit_code == 1
    assert isinstance(told.exception, SystemExit)  # no stack
    return " ".join(told.output.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file, a pipe that must stay one, and a page that was written before."""
    (tmp_path / "file").write_text("kept")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (".", "Is a directory"),
        ("file/page.html", "File exists"),
        ("pipe", "File exists"),
        ("x" * 300, "File name too long"),
        ("/proc/page.html", "No such file or directory"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused_before_anything_is_replayed(
    folder: Path, page: str, reason: str
) -> None:
    told = refused(folder / page)
    assert "--page: expected a file that can be written" in told
    assert f"({reason})" in told
    assert sorted(one.name for one in folder.iterdir()) == ["file", "pipe"]
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


def test_a_page_that_can_be_written_is_not_touched_before_it_is_made(folder: Path) -> None:
    assert "--page" not in refused(folder / "file")
    assert (folder / "file").read_text() == "kept"
    assert "--page" not in refused(folder / "new" / "page.html")
    assert not list((folder / "new").iterdir())


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    with pytest.raises(IsADirectoryError):
        whole_files.write_whole(tmp_path / "page", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["page"]


def test_the_first_policy_is_the_first_that_was_asked_for() -> None:
    assert policies_asked(["monthly", "never", "monthly"]) == ["monthly", "never"]


def test_an_end_that_has_not_come_is_refused_before_a_block_of_it_is_looked_at() -> None:
    with pytest.raises(SettingsError) as caught:
        history_asked("2026-02-01", "2826-02-20", None)
    (problem,) = caught.value.problems
    assert problem.where == "headframe replay, --until"
    assert problem.expected.startswith("a moment that has come; now is 2")
    assert problem.found == "2826-02-20 00:00 UTC"
    assert problem.fix == "Correct the year or the day: a replay is of what is over."
    begins, ends = history_asked("2026-02-01", "2026-02-20", None)
    assert (f"{begins:%m-%d}", f"{ends:%m-%d}") == ("02-01", "02-20")


@pytest.mark.parametrize("until", ["2026-02-01", "2026-01-01"])
def test_an_end_that_is_not_after_the_beginning_is_refused(until: str) -> None:
    with pytest.raises(SettingsError, match="expected a beginning before the end") as caught:
        history_asked("2026-02-01", until, None)
    (problem,) = caught.value.problems
    assert problem.found == f"2026-02-01 00:00 UTC until {until} 00:00 UTC"


def test_the_command_refuses_an_end_that_has_not_come(tmp_path: Path) -> None:
    settings = machines.settings_in(tmp_path)
    machines.declare(settings)
    environment = {"HEADFRAME_HOME": str(settings.home), "HEADFRAME_DAGS": str(settings.dags)}
    asked = ["replay", machines.NAME, "--from", "2026-02-01", "--until", "2826-02-20"]
    told = CliRunner(env=environment).invoke(app, asked)
    assert told.exit_code == 1
    assert "--until: expected a moment that has come" in " ".join(told.output.split())
    assert not settings.root.exists()
