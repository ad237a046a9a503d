"""The incident ledger: one incident a cause, told once, whatever is repeated, raced or killed."""

import json
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.adapters.platform import incident_ledger, notifications
from pipelines.adapters.settings import Settings
from pipelines.cli import terminal
from pipelines.domain.incidents import Severity
from tests.faults.forked import processes, run_script
from tests.integration.incident_race import WRITERS, alarm, at, race, report
from tests.integration.test_command_line import headframe_in

STEPS: tuple[tuple[int, Severity], ...] = ((9, "WARN"), (10, "PAGE"), (11, "PAGE"))


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave lines whole: where they wrap is the terminal's affair."""
    for output in (terminal.console, terminal.errors):
        monkeypatch.setattr(output, "width", 1000)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def titles(home: Settings) -> list[str]:
    return [message.title for message in notifications.recent(home, 100)]


def test_an_incident_comes_back_as_it_was_reported(home: Settings) -> None:
    (reported,) = incident_ledger.report(home, at=at(9), signals=[alarm("table:orders")])
    (read,) = incident_ledger.incidents(home).values()
    assert read == reported
    assert read.standing == (alarm("table:orders"),)
    assert [event.kind for event in read.events] == ["opened", "told"]


def test_reporting_again_changes_nothing_and_tells_nobody(home: Settings) -> None:
    report(str(home.root))
    before = incident_ledger.incidents(home)
    assert incident_ledger.report(home, at=at(10), signals=[alarm("table:orders", hour=10)]) == []
    assert incident_ledger.incidents(home) == before
    assert titles(home) == [
        "WARN, incident 1: table:orders is missing",
        "WARN, incident 2: table:prices is missing",
    ]


def test_an_incident_that_becomes_worse_is_told_once_more(home: Settings) -> None:
    for hour, severity in STEPS:
        worse = [alarm("table:orders", hour=hour, severity=severity)]
        incident_ledger.report(home, at=at(hour), signals=worse)
    assert titles(home) == [
        "WARN, incident 1: table:orders is missing",
        "PAGE now, incident 1: table:orders is missing",
    ]
    (last,) = notifications.recent(home, 1)
    assert last.body.splitlines() == [
        "use case till, owner shop",
        "table:orders is missing",
        "also: table:orders is missing",
        "began 2026-03-01 06:00 UTC, seen 2026-03-01 09:00 UTC",
        "Runbook: the button Dag Docs",
        "headframe incident show 1",
    ]


def test_an_incident_that_was_over_and_comes_back_is_told_again_with_what_came(
    home: Settings,
) -> None:
    paged = alarm("table:orders", severity="PAGE")
    again = alarm("table:orders", hour=12)
    incident_ledger.report(home, at=at(9), signals=[paged])
    incident_ledger.report(home, at=at(10), looked_at=[paged.area])
    incident_ledger.report(home, at=at(12), signals=[replace(again, text="orders are empty")])
    incident_ledger.report(home, at=at(13), signals=[replace(again, text="orders are empty")])
    assert titles(home) == [
        "PAGE, incident 1: table:orders is missing",
        "WARN again, incident 1: orders are empty",
    ]
    told = [
        event.text for event in incident_ledger.incidents(home)[1].events if event.kind == "told"
    ]
    assert told == ["shop was told, as PAGE", "shop was told, as WARN"]


def test_writers_that_report_the_same_at_once_open_it_once(home: Settings) -> None:
    context = processes()
    start = context.Barrier(WRITERS)
    writers = [context.Process(target=race, args=(str(home.root), start)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(180)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    found = incident_ledger.incidents(home)
    assert [one.title for one in found.values()] == [
        "table:orders is missing",
        "table:prices is missing",
    ]
    kinds = [[event.kind for event in one.events] for one in found.values()]
    assert kinds == [["opened", "told"], ["opened", "told"]]
    assert sorted(titles(home)) == [
        "WARN, incident 1: table:orders is missing",
        "WARN, incident 2: table:prices is missing",
    ]


@pytest.mark.parametrize(
    ("failpoint", "messages"),
    [
        # Killed before the message, it goes out with the next report; after it, perhaps twice.
        ("incident.before_message", 2),
        ("incident.between_message_and_note", 3),
    ],
)
def test_a_kill_never_keeps_a_message_back_for_good(
    home: Settings, tmp_path: Path, failpoint: str, messages: int
) -> None:
    reached = tmp_path / "reached"
    code = "import sys; from tests.integration.incident_race import report; report(sys.argv[1])"
    status, _ = run_script(code, str(home.root), reached=reached, failpoint=failpoint)
    assert status == -signal.SIGKILL
    assert reached.read_text() == f"{failpoint}\n"
    incident_ledger.report(home, at=at(10))
    assert len(titles(home)) == messages
    assert set(titles(home)) == {
        "WARN, incident 1: table:orders is missing",
        "WARN, incident 2: table:prices is missing",
    }
    assert len(incident_ledger.incidents(home)) == 2


def test_a_person_takes_and_ends_an_incident_from_the_terminal(home: Settings) -> None:
    report(str(home.root))
    headframe = headframe_in(home)
    by = ("--by", "ada")
    assert (
        "is acknowledged"
        in headframe(
            "incident", "acknowledge", "1", *by, "--at", at(9).replace(minute=20).isoformat()
        ).stdout
    )
    headframe(
        "incident", "mitigate", "1", *by, "--note", "sent by hand", "--at", at(10).isoformat()
    )
    headframe("incident", "resolve", "1", *by, "--cause", "disk full", "--at", at(12).isoformat())
    shown = json.loads(headframe("incident", "show", "1", "--json").stdout)
    assert shown["state"] == "resolved"
    assert [shown[f"time_to_{name}_s"] for name in ("detect", "acknowledge", "recover")] == [
        timedelta(hours=3).total_seconds(),
        timedelta(minutes=20).total_seconds(),
        timedelta(hours=4).total_seconds(),
    ]
    listed = headframe("incident", "list").stdout
    assert "table:prices is missing" in listed
    assert "table:orders is missing" not in listed
    story = headframe("incident", "show", "1").stdout
    assert "resolved     ada: disk full" in story


def test_a_resolved_incident_and_an_unknown_one_say_what_to_do(home: Settings) -> None:
    report(str(home.root))
    headframe = headframe_in(home)
    headframe("incident", "resolve", "1", "--cause", "disk full")
    again = headframe("incident", "acknowledge", "1", status=1)
    assert "its next alarm opens a new incident" in again.stderr
    unknown = headframe("incident", "show", "9", status=1)
    assert "headframe incident list --all" in unknown.stderr
    early = headframe("incident", "acknowledge", "2", "--at", at(1).isoformat(), status=1)
    assert "a time after it was seen" in early.stderr


def test_a_draft_is_never_written_over(home: Settings, tmp_path: Path) -> None:
    report(str(home.root))
    headframe, draft = headframe_in(home), tmp_path / "draft.md"
    headframe("incident", "postmortem", "1", "--output", str(draft))
    draft.write_text("ours")
    headframe("incident", "postmortem", "1", "--output", str(draft), status=1)
    assert draft.read_text() == "ours"
