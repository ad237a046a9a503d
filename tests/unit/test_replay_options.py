"""Options of a replay: a page that cannot be written is refused at once; whose policy is the first."""

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.adapters.stores import whole_files
from pipelines.cli import app
from pipelines.cli.replay_commands import policies_asked

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
