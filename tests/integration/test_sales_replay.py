"""The sales example replayed: harm sets a training off, what does no harm sets off none."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from examples import sales_opportunities as example
from pipelines.cli import app

ROOT = Path(__file__).parents[2]
ASKED = (
    *("replay", example.NAME, "--from", "2025-01-06", "--until", "2026-04-06"),
    *("--retrain", "declared", "--fixed"),
)
"""The command of the documents, without the policy that declared is compared with there."""

IN_VAIN = "did not help: version {} did not pass BeatsChampion"


def run(*command: str) -> str:
    told = CliRunner().invoke(app, list(command))
    assert told.exit_code == 0, told.output
    return told.stdout


@pytest.mark.prove
def test_harm_of_the_rival_sets_trainings_off_and_no_other_change_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADFRAME_HOME", str(tmp_path))
    run("example", example.NAME)
    run("run", "ingest", example.NAME)
    plain = json.loads(run(*ASKED, "--json"))
    assert plain["remarks"] == []
    (declared,) = plain["policies"]

    early = [one for one in declared["trainings"] if one["cause"] != "schedule"]
    assert [(one["at"][:10], one["cause"], one["outcome"]) for one in early] == [
        ("2026-02-02", "harm", IN_VAIN.format(6)),
        ("2026-02-16", "harm", IN_VAIN.format(7)),
    ]
    assert len(declared["trainings"]) == 7
    assert not any(one["promoted"] for one in declared["trainings"])
    held = [(one["at"][:10], one["cause"], one["why"]) for one in declared["held"]]
    assert held[:2] == [("2026-02-09", "harm", "cooldown"), ("2026-02-23", "harm", "gave_up")]
    assert {why for _, _, why in held[1:]} == {"gave_up"}

    alarms: list[dict[str, Any]] = declared["alarms"]
    grave = [(one["block"], one["test"]) for one in alarms if one["level"] == "PAGE"]
    assert grave == [("2025-08-11", "Harm")]
    told = {(one["block"], one["test"]) for one in alarms if "product_won" in one["reason"]}
    assert {("2025-03-10", "BlockPermutation 1"), ("2025-04-21", "BlockPermutation 7")} <= told
    # However late the north enters an end, it is known before its label is final.
    assert declared["final"] > 0.999 * declared["predictions"]
    mean, cells = declared["loss"]["mean"], (ROOT / "docs" / "replay.md").read_text("utf-8")
    assert f"| declared (each quarter, and on harm) | {mean:.4f} (too few blocks) |" in cells
