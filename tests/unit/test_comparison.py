"""Two versions side by side: paired where they met on the same rows, and said so where they did not."""

import json
from dataclasses import replace

import pytest

from pipelines.domain.comparison import compare
from pipelines.domain.comparison_text import comparison_text
from pipelines.domain.registered import Registered
from tests.goldens import assert_golden
from tests.registered import blocks, judged, registered


def version_8(nats: float = 0.02, **changed: object) -> Registered:
    """Return a later version that is worse by so many nats, judged against the same champion."""
    evidence = judged(challenger="8", blocks=blocks(nats))
    return registered(version="8", **{"evidence": evidence, **changed})


def test_two_versions_that_differ_in_everything_a_person_asks_about() -> None:
    other = version_8(
        parameters={"learning_rate": 0.0312345, "max_leaf_nodes": 31},
        numeric=("load", "wind"),
        categorical=(),
        data_versions={"silver.flight_delays.arrivals": 15},
        requirements=("numpy==2.4.6", "scikit-learn==1.10.0"),
        digests={"declaration": "d" * 64, "code": "e" * 64},
    )
    assert_golden("models/compare", comparison_text(compare(registered(), other)))


def test_a_paired_difference_is_that_of_the_rows_both_were_judged_on() -> None:
    found = compare(registered(), version_8())
    log_loss, brier = found.paired
    assert log_loss.improvement.estimate == pytest.approx(-0.02)
    assert brier.improvement.estimate == pytest.approx(-0.01)
    assert log_loss.improvement.side == -1
    swapped = compare(version_8(), registered())
    assert swapped.paired[0].improvement.estimate == pytest.approx(0.02)


def test_a_champion_and_its_challenger_are_paired_in_the_challengers_evidence() -> None:
    champion = registered(version="3", evidence=None)
    found = compare(champion, registered())
    assert found.basis == (
        "the 28 held-out blocks of version 7, which was judged against version 3"
    )
    direct = judged().paired("log_loss", over="champion")
    assert found.paired[0].improvement.estimate == pytest.approx(sum(direct.improvements) / 28)
    back = compare(registered(), champion)
    estimate = back.paired[0].improvement.estimate
    assert estimate == pytest.approx(-sum(direct.improvements) / 28)


def test_versions_judged_on_other_days_are_not_paired() -> None:
    later = version_8(
        evidence=judged(challenger="8", blocks=blocks(month=6)),
        held_out_window=("2013-06-01", "2013-06-28"),
    )
    found = compare(registered(), later)
    assert found.paired == ()
    assert found.basis == (
        "not paired: version 7 was judged on 2013-05-01 to 2013-05-28, version 8 on 2013-06-01 to "
        "2013-06-28, and no block is the same"
    )


def test_a_block_with_other_rows_is_not_the_same_block() -> None:
    first, *others = blocks(0.02)
    fewer = replace(first, rows=74)
    seen = judged(challenger="8", blocks=(fewer, *others), rows=2_099)
    found = compare(registered(), version_8(evidence=seen))
    assert found.basis.startswith("the 27 blocks that both were judged on (2013-05-02 to")


def test_a_version_without_evidence_is_named() -> None:
    found = compare(registered(), version_8(evidence=None))
    assert found.basis == "not paired: the gates have not judged version 8"
    assert [(one.metric, one.second) for one in found.metrics] == [
        ("log_loss", None),
        ("brier", None),
        ("auc", None),
    ]


def test_a_script_gets_the_same_figures() -> None:
    found = compare(registered(), version_8())
    plain = json.loads(json.dumps(found.to_plain()))
    first = found.paired[0].improvement
    assert plain["paired"][0]["improvement"]["low"] == first.low
    assert {"group": "parameter", "name": "max_iter", "first": "150", "second": "150"} in plain[
        "facts"
    ]
