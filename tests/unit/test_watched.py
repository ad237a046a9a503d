"""Watched: the verdict says what changed, since when, whether it hurts, and what to do."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipelines.domain.block_length import BlockLength
from pipelines.domain.change_text import change_text
from pipelines.domain.drift.drift_result import ColumnShift, DriftResult, Outcome
from pipelines.domain.drift.severity import Alarm, Level
from pipelines.domain.monitored import Judged
from pipelines.domain.watched import Watched

NEWEST, LABELLED = "2026-03-20", "2026-03-18"
BEGAN = datetime(2026, 3, 16, 5, tzinfo=UTC)
UNTIL = datetime(2026, 3, 18, 5, tzinfo=UTC)


def said(
    name: str,
    outcome: Outcome = "quiet",
    level: Level | None = None,
    *shifts: tuple[str, str, str],
    reason: str = "",
    figures: Mapping[str, float] | None = None,
    blocks: tuple[int, int] = (7, 91),
    block: str = NEWEST,
) -> Judged:
    """Return an answer; ``shifts`` are (column, family, direction), ``blocks`` (window, reference)."""
    told = tuple(
        ColumnShift(column=column, family=family, effect=0.094, p_value=0.001, direction=direction)  # type: ignore[arg-type]
        for column, family, direction in shifts
    )
    result = DriftResult(
        test=name.split(" ", maxsplit=1)[0],
        outcome=outcome,
        reason=reason,
        window_blocks=blocks[0],
        reference_blocks=blocks[1],
        per_column=told,
        figures=figures or {},
    )
    alarm = Alarm(level=level, test=result.test, reason=reason, shifts=told) if level else None
    since = BEGAN if outcome == "drifted" else None
    return Judged(name=name, block=block, result=result, alarm=alarm, since=since)


WEEK, SEGMENTS = "BlockPermutation 7", "SegmentContrast"
RULES = said("HardRules")
QUIET = said(WEEK)
TOLERANCE = {"tolerance": 0.02}
NO_HARM = said("Harm", figures=TOLERANCE, block=LABELLED)
REALISED = said(
    "RealisedLoss",
    "measured",
    figures={"mean": 0.449, "low": 0.443, "high": 0.455, "held_out": 0.44},
    blocks=(28, 30),
    block=LABELLED,
)
COSTLY = replace(
    REALISED.result, figures={"mean": 0.471, "low": 0.46, "high": 0.482, "held_out": 0.45}
)
FEW = said("RealisedLoss", "not_tested", figures={"mean": 0.449}, blocks=(12, 0), block=LABELLED)
WINDY = said(
    WEEK, "drifted", "WARN", ("wind", "bins", "up"), ("gust", "bins", "up"), ("p", "moments", "up")
)
UNIT = said(
    "HardRules",
    "drifted",
    "PAGE",
    ("miles", "units", "changed"),
    reason="In the newest block miles looks converted: miles to kilometres.",
)
WORSE = said(SEGMENTS, "drifted", "WARN", ("depot=N", "contrast", "up"), block=LABELLED)
HARM = said(
    "Harm",
    "drifted",
    "PAGE",
    ("log_loss", "loss", "up"),
    figures={"source": 0.448, "target": 0.621, "target_at_least": 0.582, **TOLERANCE},
    blocks=(67, 28),
    block=LABELLED,
)
FIGURES = (
    ": up to block 2026-03-18 the mean log loss of the last 28 labelled blocks is 0.449 (0.443 to "
    "0.455 with 90 % confidence), of held-out ones 0.44, and 0.02 more is tolerated."
)


def watched(*answers: Judged, until: datetime = UNTIL, block: BlockLength = "day") -> Watched:
    """Return what these answers amount to; those that are alarms stand."""
    found = Watched.of(
        answers, answers, model_version="1", newest_block=NEWEST, alarms_per_quarter=1, block=block
    )
    return replace(found, labelled_until=until, prediction="p")


@pytest.mark.parametrize(
    ("found", "level", "sentences"),
    [
        (
            watched(RULES, QUIET, NO_HARM, REALISED),
            "OK",
            "OK: the week up to block 2026-03-20 is like the 91 blocks it is compared with. "
            f"No harm is shown{FIGURES} Nothing is to be done.",
        ),
        (
            watched(RULES, QUIET, NO_HARM, FEW),
            "OK",
            "OK: the week up to block 2026-03-20 is like the 91 blocks it is compared with. "
            "No harm is shown: up to block 2026-03-18 the mean log loss of the last 12 labelled "
            "blocks is 0.449 (too few blocks for an interval), and 0.02 more is tolerated. "
            "Nothing is to be done.",
        ),
        (
            watched(RULES, QUIET),
            "OK",
            "OK: the week up to block 2026-03-20 is like the 91 blocks it is compared with. "
            "Whether the model does worse is not known: too few labels are final. "
            "Nothing is to be done.",
        ),
        (
            watched(RULES, QUIET, said("Harm", "learning")),
            "OK",
            "OK: the week up to block 2026-03-20 is like the 91 blocks it is compared with. "
            "Whether the model does worse is not known: too few held-out blocks have labels. "
            "Nothing is to be done.",
        ),
        (
            watched(RULES, said(WEEK, "drifted", "INFO", ("wind", "mix", "changed")), NO_HARM),
            "INFO",
            "INFO: wind has another mix of values (last 7 blocks, compared with 91 earlier "
            "ones). It is too little, or in columns too unimportant, to matter to the model. "
            "No harm is shown up to block 2026-03-18. Nothing is to be done.",
        ),
        (
            watched(RULES, QUIET, NO_HARM, said(SEGMENTS, "drifted", "INFO", ("", "loss", "down"))),
            "INFO",
            "INFO: the mean log loss is 0.094 lower (last 7 labelled blocks, compared with 91 "
            "earlier ones). Nothing got worse by as much as matters. No harm is shown up to block 2026-03-18. "
            "Nothing is to be done.",
        ),
        (
            watched(RULES, WINDY, NO_HARM, REALISED),
            "WARN",
            "WARN since 2026-03-16 05:00 UTC: wind and gust are higher on the whole; p (the "
            "prediction) is higher on average (last 7 blocks, compared with 91 earlier ones). "
            f"No harm is shown{FIGURES} Ask who delivers the data what changed; if it is to stay, "
            "train a challenger.",
        ),
        (
            watched(RULES, WINDY, NO_HARM, REALISED, until=datetime(2026, 3, 15, 5, tzinfo=UTC)),
            "WARN",
            "WARN since 2026-03-16 05:00 UTC: wind and gust are higher on the whole; p (the "
            "prediction) is higher on average (last 7 blocks, compared with 91 earlier ones). "
            "Whether it hurts is not known: labels are final up to block 2026-03-18 only. Ask who "
            "delivers the data what changed; if it is to stay, train a challenger.",
        ),
        (
            watched(
                RULES,
                replace(WINDY, block="2026-03-17"),
                QUIET,
                NO_HARM,
            ),
            "WARN",
            "WARN since 2026-03-16 05:00 UTC: wind and gust are higher on the whole; p (the "
            "prediction) is higher on average (last 7 blocks, compared with 91 earlier ones). "
            "It was last seen in block 2026-03-17. No harm is shown up to block 2026-03-18. Ask who "
            "delivers the data what changed; if it is to stay, train a challenger.",
        ),
        (
            watched(RULES, QUIET, NO_HARM, WORSE, REALISED),
            "WARN",
            "WARN since 2026-03-16 05:00 UTC: the loss of depot=N is 0.094 higher against the other "
            "rows (last 7 labelled blocks, compared with 91 earlier ones). "
            f"No harm is shown{FIGURES} Look at the segments on the monitoring page, then train a "
            "challenger.",
        ),
        (
            watched(RULES, QUIET, NO_HARM, WORSE, replace(REALISED, result=COSTLY)),
            "WARN",
            "WARN since 2026-03-16 05:00 UTC: the loss of depot=N is 0.094 higher against the other "
            "rows (last 7 labelled blocks, compared with 91 earlier ones). The model may do "
            "harm, but that is not certain yet: up to block 2026-03-18 the mean log loss of the last "
            "28 labelled blocks is 0.471 (0.46 to 0.482 with 90 % confidence), of held-out ones 0.45, "
            "and 0.02 more is tolerated. Look at the segments on the monitoring page, then train a "
            "challenger.",
        ),
        (
            watched(UNIT, QUIET, NO_HARM, REALISED, until=BEGAN),
            "PAGE",
            "PAGE since 2026-03-16 05:00 UTC: in the newest block miles looks converted: miles to "
            f"kilometres. No harm is shown{FIGURES} Have the source or the contract mended, and do "
            "not train on these blocks.",
        ),
        (
            watched(RULES, QUIET, HARM, REALISED),
            "PAGE",
            "PAGE since 2026-03-16 05:00 UTC: the mean log loss over 67 labelled blocks is 0.621, at "
            "least 0.582; it was 0.448 on held-out blocks, and 0.02 more is tolerated. Look at the "
            "segments on the monitoring page, then train a challenger.",
        ),
        (
            watched(UNIT, QUIET, HARM, REALISED),
            "PAGE",
            "PAGE since 2026-03-16 05:00 UTC: in the newest block miles looks converted: miles to "
            f"kilometres. The model does harm{FIGURES} Have the source or the contract mended, and "
            "do not train on these blocks.",
        ),
        (
            watched(RULES, said(WEEK, "learning", blocks=(7, 3))),
            "learning",
            "Learning: 3 of the 20 earlier blocks that a comparison needs are there. Until then "
            "block 2026-03-20 is judged by hard rules alone, which all hold. Whether the model does "
            "worse is not known: too few labels are final. Nothing is to be done.",
        ),
        (
            watched(RULES, said(WEEK, "learning", blocks=(7, 45)), said("Harm", "learning")),
            "learning",
            "Learning: the 45 earlier blocks depend on each other and are worth fewer than the 20 "
            "that a comparison needs. Until then block 2026-03-20 is judged by hard rules alone, "
            "which all hold. Whether the model does worse is not known: too few held-out blocks have "
            "labels. Nothing is to be done.",
        ),
        (
            watched(said("HardRules", "not_tested"), said(WEEK, "learning", blocks=(7, 3))),
            "learning",
            "Learning: 3 of the 20 earlier blocks that a comparison needs are there. Until then "
            "block 2026-03-20 is judged by hard rules alone, which could not be looked at. Whether "
            "the model does worse is not known: too few labels are final. Nothing is to be done.",
        ),
        (
            watched(RULES, said(WEEK, "not_tested", blocks=(1, 3))),
            "not_tested",
            "Not judged: only 1 of the week's blocks is there. Whether the model does worse is not "
            "known: too few labels are final. Nothing is to be done.",
        ),
        (
            watched(RULES, QUIET, block="week"),
            "OK",
            "OK: the seven weeks up to block 2026-03-20 are like the 91 blocks they are compared "
            "with. Whether the model does worse is not known: too few labels are final. "
            "Nothing is to be done.",
        ),
        (
            watched(RULES, said(WEEK, "not_tested", blocks=(3, 3)), block="week"),
            "not_tested",
            "Not judged: only 3 of the seven weeks' blocks are there. Whether the model does worse "
            "is not known: too few labels are final. Nothing is to be done.",
        ),
        (watched(), "not_tested", "Not watched: no block was judged. Run monitor."),
        (
            Watched.without("no champion.", alarms_per_quarter=1),
            "not_tested",
            "Not watched: no champion.",
        ),
    ],
)
def test_the_verdict_says_what_changed_since_when_whether_it_hurts_and_what_to_do(
    found: Watched, level: str, sentences: str
) -> None:
    assert (found.level, found.verdict) == (level, sentences)


@pytest.mark.parametrize(
    ("shifts", "told"),
    [
        ([("a", "bins", "down"), ("b", "bins", "down")], "a and b are lower on the whole"),
        (
            [("a", "bins", "up"), ("b", "missing", "up"), ("a", "missing", "up")],
            "a is higher on the whole; b is missing more often",
        ),
        (
            [("a", "ranks", "changed"), ("b", "mix", "changed"), ("c", "missing", "down")],
            "a goes with other columns in another way; b has another mix of values; c is missing "
            "less often",
        ),
        (
            [(name, "bins", "changed") for name in "abcde"],
            "a, b and c have other values; 2 more changed",
        ),
    ],
)
def test_columns_are_told_by_their_first_shift_and_at_most_three(
    shifts: list[tuple[str, str, str]], told: str
) -> None:
    answer = said("BlockPermutation 1", "drifted", "WARN", *shifts, blocks=(1, 150))
    assert change_text(answer) == f"{told} (newest block, compared with 150 earlier ones)"


@pytest.mark.parametrize(
    ("shift", "told"),
    [
        (("", "loss", "up"), "the mean log loss is 0.094 higher"),
        (("", "loss", "down"), "the mean log loss is 0.094 lower"),
        (("", "calibration", "up"), "the outcome is by 0.094 more frequent than predicted"),
        (
            ("depot=N", "contrast", "up"),
            "the loss of depot=N is 0.094 higher against the other rows",
        ),
    ],
)
def test_what_is_about_the_model_is_told_of_labelled_blocks(
    shift: tuple[str, str, str], told: str
) -> None:
    answer = said(SEGMENTS, "drifted", "WARN", shift)
    assert change_text(answer) == f"{told} (last 7 labelled blocks, compared with 91 earlier ones)"


def test_losses_of_numbers_are_called_what_they_are() -> None:
    minutes = "absolute error in minutes"
    rose, off = (
        change_text(said(SEGMENTS, "drifted", "WARN", shift), loss=minutes)
        for shift in (("", "loss", "up"), ("", "calibration", "down"))
    )
    assert rose.startswith("the mean absolute error in minutes is 0.094 higher")
    assert off.startswith("the outcome is by 0.094 lower than predicted")
