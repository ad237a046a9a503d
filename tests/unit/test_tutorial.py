"""The tutorial names commands and files that are there; tests/e2e/test_tutorial.py runs all of it."""

import re
import shlex

import typer
from typer.testing import CliRunner

from pipelines.cli import app
from tests.tutorial import TUTORIAL, steps, unlike


def test_every_command_of_the_tutorial_is_one_that_parses() -> None:
    text = TUTORIAL.read_text("utf-8")
    commands = [shlex.split(step.command) for step in steps(text)]
    ours = [words[1:] for words in commands if words[0] == "headframe"]
    assert len(ours) >= 15
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for words in ours:
        command = group.get_command(None, words[0])  # type: ignore[arg-type]
        assert command is not None, words[0]
        context = command.make_context(words[0], words[1:])
        assert context.args == []


def test_an_unknown_option_of_a_shown_command_would_be_found() -> None:
    assert CliRunner().invoke(app, ["new", "shop", "--entitys", "a.csv"]).exit_code == 2


def test_shown_lines_are_compared_but_for_what_differs_from_run_to_run() -> None:
    assert not unlike("6 passed in 3.61s", "6 passed in 12.4s")
    assert not unlike("a: declaration 5dd1a3f0b6c2, tier x", "a: declaration 0123456789ab, tier x")
    assert not unlike("score: 225 rows (9.1 s)", "\nscore: 225 rows (0.3 s)\n")
    assert not unlike("page: ...", "page: /x/y.html")
    assert unlike("score: 225 rows (9.1 s)", "score: 224 rows (9.1 s)")
    assert unlike("6 passed in 3.61s", "5 passed, 1 failed in 3.61s")


def test_what_the_tutorial_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)", TUTORIAL.read_text("utf-8"))
    assert links
    assert [link for link in links if not (TUTORIAL.parent / link).exists()] == []
