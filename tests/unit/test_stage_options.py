"""Stage options: a version that a stage would take no notice of is refused, beside a range of that kind."""

import pytest

from pipelines.cli.stage_options import refuse_idle
from pipelines.errors import SettingsError


def refuse(
    stage: str, version: str, *, from_: str = "", until: str = "", late: bool = False
) -> None:
    refuse_idle(stage, as_of="", from_=from_, until=until, late=late, version=version)


@pytest.mark.parametrize("stage", ["ingest", "train", "deliver", "monitor", "probation"])
def test_a_stage_that_is_about_no_one_version_takes_none(stage: str) -> None:
    refuse(stage, "")
    told = f"--version: expected stage evaluate, promote or score; found stage {stage}"
    with pytest.raises(SettingsError, match=told):
        refuse(stage, "7")


def test_a_version_is_scored_over_a_range_and_not_what_is_late() -> None:
    for stage in ("evaluate", "promote", "score"):
        refuse(stage, "7")
    refuse("score", "7", from_="2026-02-01", until="2026-02-03")
    with pytest.raises(SettingsError, match="--version: expected a version, or --late; found both"):
        refuse("score", "7", late=True)


def test_a_range_and_a_version_taken_no_notice_of_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        refuse("ingest", "7", from_="2026-02-01")
    assert [problem.where for problem in caught.value.problems] == [
        "headframe run, --from", "headframe run, --version",
    ]  # fmt: skip
