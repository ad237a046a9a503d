"""Replay stages: what of a replay's steps is counted afterwards."""

from typing import Any

from pipelines.cli.replay_stages import cut_short, unscored


def test_a_scoring_time_is_without_predictions_until_it_is_scored_again() -> None:
    found: list[dict[str, Any]] = [
        {"windows": 3, "refused": ["02-01", "02-02", "02-03"], "late": []},
        {"again": ["02-02", "01-31"], "refused_again": ["02-01"]},
        {"level": "OK"},
        {"windows": 1, "refused": ["02-04"], "late": []},
        {"again": [], "refused_again": ["02-01"]},
    ]
    assert unscored(found) == ["02-01", "02-03", "02-04"]


def test_searches_that_their_budget_ended_are_counted() -> None:
    assert cut_short([{"cut_short": True}, {"cut_short": False}, {"windows": 3}, {}]) == 1
