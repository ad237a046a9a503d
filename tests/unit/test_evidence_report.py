"""The page of an evidence: its sentence, what is absent and why, its size, and names that mark up nothing."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import pytest

from pipelines.adapters.reports.evidence_page import render
from pipelines.domain.evidence import BlockLoss, Evidence
from pipelines.domain.evidence_report import Bounded, EvidenceReport, absent, verdict_sentence
from pipelines.domain.examination import Examination
from pipelines.domain.metrics import TooFewBlocks
from pipelines.domain.verdict import Outcome, Verdict
from tests.examined import estimated, level
from tests.registered import blocks, judged

HOSTILE = "<img src=x onerror=alert(1)>'\"&"


def verdicts(*outcomes: Outcome) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(gate=f"Gate{n}", outcome=outcome, reason="So it was.", figures={})
        for n, outcome in enumerate(outcomes, start=1)
    )


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        ((), "Version 7 may not be promoted: no gate judged it."),
        (("passed",), "Version 7 may be promoted: 1 gate passed."),
        (
            ("passed", "not_applicable", "passed"),
            "Version 7 may be promoted: 2 gates passed, 1 not applicable.",
        ),
        (("passed", "failed"), "Version 7 may not be promoted: Gate2 failed."),
        (("too_few",), "Version 7 may not be promoted: Gate1 could not be tested."),
        (("not_applicable",), "Version 7 may not be promoted: no gate could judge it."),
        (
            ("failed", "too_few", "failed", "passed", "failed"),
            "Version 7 may not be promoted: Gate1, Gate3 and Gate5 failed, and Gate2 could not be "
            "tested.",
        ),
    ],
)
def test_one_sentence_says_whether_and_why(outcomes: Sequence[Outcome], sentence: str) -> None:
    evidence = judged(verdicts=verdicts(*outcomes))
    assert verdict_sentence(evidence) == sentence
    html = render(evidence)
    assert f'<p id="verdict">{sentence}</p>' in html
    assert ('class="verdict may"' in html) is ("may be promoted:" in sentence)


def test_what_stops_a_promotion_is_read_first() -> None:
    found = EvidenceReport.of(judged())
    assert [one.outcome for one in found.gates] == [
        "failed",
        "too_few",
        "passed",
        "not_applicable",
    ]


def test_a_rival_that_lacks_a_block_is_not_compared_on_the_others() -> None:
    first, *others = blocks()
    alone = replace(first, losses={role: first.losses[role] for role in ("challenger", "baseline")})
    found = EvidenceReport.of(judged(blocks=(alone, *others)))
    assert {one.rival for one in found.improvements} == {"baseline"}


def test_too_few_blocks_have_an_estimate_and_no_bounds() -> None:
    assert Bounded.of(estimated(0.1, blocks=19)) == Bounded(estimate=0.1, blocks=19)
    assert Bounded.of(TooFewBlocks(estimate=None, blocks=0)).low is None
    found = Bounded.of(estimated(0.1, error=0.05))
    assert found.low is not None
    assert found.high is not None
    # t at 0.975 with 27 degrees of freedom is 2.0518 (R: qt(0.975, 27)).
    assert (found.low, found.high) == pytest.approx((0.1 - 0.10259, 0.1 + 0.10259), abs=1e-5)
    assert [Bounded.of(estimated(at)).side for at in (-1.0, 0.0, 1.0)] == [-1, 0, 1]


def test_what_is_absent_says_why() -> None:
    empty = replace(judged(champion=None, blocks=_without_champion()), examination=None)
    assert (
        absent(empty, "seeds") == "This evidence was frozen by a release that did not look at it."
    )
    looked = replace(empty, examination=Examination(rival="baseline"))
    assert absent(looked, "difference") == "There was no champion to differ from."
    assert absent(looked, "seeds") == (
        "It was not looked at: the gate StableAcrossSeeds asks for it, and is not declared."
    )
    asked = replace(
        looked,
        verdicts=(Verdict(gate="NoLeakage", outcome="too_few", reason="Not tested.", figures={}),),
    )
    assert absent(asked, "leakage") == "It could not be measured: see the gate NoLeakage."
    for evidence, parts in (
        (empty, ("segments", "reliability")),
        (looked, ("segments", "reliability", "importance", "learning_curve", "difference")),
        (asked, ("leakage", "seeds", "footprint", "reproduction")),
    ):
        html = render(evidence)
        assert all(escape(absent(evidence, part), quote=True) in html for part in parts)
    assert absent(judged(), "segments") == ""


def test_the_page_is_the_same_bytes_and_carries_the_digest() -> None:
    evidence = judged()
    html = render(evidence)
    again = render(Evidence.from_json(evidence.to_json()))
    assert html == again
    assert evidence.digest in html
    assert evidence.declaration_digest in html


def test_no_name_from_data_becomes_markup() -> None:
    seen = judged().examination
    assert seen is not None
    assert seen.difference is not None
    hostile = judged(
        use_case=HOSTILE,
        challenger=HOSTILE,
        champion=HOSTILE,
        data_versions={HOSTILE: 1},
        verdicts=(Verdict(gate=HOSTILE, outcome="failed", reason=HOSTILE, figures={}),),
        examination=replace(
            seen,
            segments={HOSTILE: (level(HOSTILE, 0.0),)},
            importance={HOSTILE: 1.0},
            difference=replace(
                seen.difference, features_added=(HOSTILE,), features_removed=(HOSTILE,)
            ),
        ),
    )
    html = render(hostile)
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") >= 12


def test_the_largest_evidence_stays_below_300_kb_and_says_what_it_leaves_out() -> None:
    usual, wide = blocks(), '"' * 200  # a quotation mark takes five bytes
    days = tuple(
        replace(usual[day % 28], block=f"{2000 + day // 100}-01-01#{day:04}") for day in range(300)
    )
    seen = judged().examination
    assert seen is not None
    assert seen.difference is not None
    large = judged(
        blocks=days,
        rows=75 * len(days),
        verdicts=tuple(
            Verdict(gate=f"Gate{n}", outcome="failed", reason="w" * 5_000, figures={})
            for n in range(30)
        ),
        examination=replace(
            seen,
            segments={
                f"column {n}": tuple(level(f"{at} {wide}", 0.0) for at in range(60))
                for n in range(12)
            },
            difference=replace(
                seen.difference, features_added=tuple(f"{n} {wide}" for n in range(500))
            ),
            importance={f"feature {n} {wide}": 1 / (n + 1) for n in range(500)},
        ),
    )
    html = render(large)
    assert len(html.encode()) < 300_000
    assert "the 20 most frequent of 60 levels" in html
    assert "4 more segments are in the evidence." in html
    assert "460 more features have no more than the last of these." in html
    assert "and 460 more</dd>" in html
    assert "120 drawn, of 300" in html


def _without_champion() -> tuple[BlockLoss, ...]:
    return tuple(
        replace(day, losses={role: loss for role, loss in day.losses.items() if role != "champion"})
        for day in blocks()
    )
