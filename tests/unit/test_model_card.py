"""The model card: recorded facts in Markdown, the limits that follow, and nothing that data can mark up."""

from dataclasses import replace

from pipelines.domain.model_card import DeclaredFacts, model_card
from pipelines.domain.model_limits import limits
from tests.examined import estimated, level
from tests.goldens import assert_golden
from tests.registered import judged, registered

DECLARED = DeclaredFacts(
    owner="aviation",
    purpose="Say which flights will be late.",
    tier="governed",
    label="late",
    rule="arr_delay > 15",
    label_table="arrivals",
    final_after="72 hours",
)


def test_the_card_of_a_version_that_was_judged_and_rejected() -> None:
    found = registered()
    assert found.evidence is not None
    # What an evidence's digest is has tests of its own.
    text = model_card(found, DECLARED).replace(found.evidence.digest, "<digest>")
    assert_golden("models/card", text)


def test_the_card_of_an_older_version_says_what_was_not_recorded() -> None:
    older = registered(
        candidate="", parameters={}, searched="", reason="", evidence=None, decisions=()
    )
    assert_golden("models/card_older", model_card(older, replace(DECLARED, rule=None, purpose="")))


def test_names_from_data_are_shown_and_never_marked_up() -> None:
    hostile = registered(
        requester="<script>alert(1)</script>",
        reason="| a\n\n# b `c` [d](http://e) <img src=x onerror=f>",
        categorical=("fam|ily", "_x_"),
    )
    lines = model_card(hostile, DECLARED).splitlines()
    (asked,) = [line for line in lines if line.startswith("| Reason asked")]
    assert asked == (r"| Reason asked | \| a \# b \`c\` \[d\](http\://e) \<img src=x onerror=f\> |")
    assert r"| fam\|ily | text | - |" in lines
    assert r"| \_x\_ | text | - |" in lines
    assert not [line for line in lines if "<script" in line.replace(r"\<", "")]
    assert [line for line in lines if line.startswith("# ")] == ["# flight_delays, version 7"]


def test_limits_name_what_is_too_small_worse_or_not_told_apart() -> None:
    found = limits(judged())
    assert "Too few blocks to judge 1 of 4 levels of origin, with 1.0% of the rows: HPN." in found
    assert (
        "Where origin is JFK its log loss is 0.0295 to 0.0705 nats above the champion's." in found
    )
    assert [one for one in found if "EWR" in one or "LGA" in one] == []
    assert "Gate Calibrated failed: Off by at most 0.08." in found
    assert [one for one in found if one.startswith("Its odds are too far from even")]


def test_what_holds_is_no_limit() -> None:
    sound = judged(verdicts=())
    seen = sound.examination
    assert seen is not None
    assert seen.reliability is not None
    calibrated = replace(seen.reliability, slope=estimated(0.97, error=0.05))
    quiet = replace(seen, segments={"origin": (level("EWR", 0.0),)}, reliability=calibrated)
    assert limits(replace(sound, examination=quiet)) == (
        "Judged on 28 blocks from 2013-05-01 to 2013-05-28: nothing here is about other days.",
    )
