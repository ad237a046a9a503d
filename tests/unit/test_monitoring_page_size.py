"""How large the monitoring page may become: long names, many segments and incidents are cut and counted."""

import re
from dataclasses import replace

import pytest

from pipelines.adapters.reports import monitoring_page
from pipelines.domain.feature_report import FeatureReport, ReportBin
from pipelines.domain.incidents import Incident
from pipelines.domain.monitoring_report import MonitoringReport
from tests import watched

LARGEST_PAGE = 300_000

LONG = {
    "words": "a long name that somebody gave it once upon a time and nobody dares to change " * 2,
    "another alphabet": "длинное имя, которое кто-то когда-то дал, и никто не меняет " * 2,
    "a third one": "级别名称" * 40,
    "marks": "\"<&'" * 40,
}


@pytest.fixture(scope="module")
def windy() -> MonitoringReport:
    """Return the report of ten days with more wind."""
    return watched.report(wind_up=3.0)


def column(report: MonitoringReport, name: str) -> FeatureReport:
    return next(one for one in report.features if one.column == name)


@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_thirty_texts_of_long_names_many_segments_and_incidents_fit_in_300_kb(
    name: str, windy: MonitoringReport
) -> None:
    like, wind = (column(windy, name) for name in ("origin", "wind"))
    levels = tuple((f"{number} {name}", 0.02) for number in range(12))
    bins = tuple(ReportBin(label=level, reference=0.07, current=0.08) for level, _ in levels)
    features = tuple(
        replace(
            like, column=f"{number} {name}", bins=(*bins, *like.bins[-2:]), timeline=(wind.timeline * 2)[:90],
            new=levels[:6], vanished=levels[6:], effects=wind.effects, level="WARN",
        )
        for number in range(30)
    )  # fmt: skip
    segment = windy.segments[0]
    found = replace(
        windy,
        features=(windy.features[0], *features),
        segments=tuple(replace(segment, segment=f"{number}={name}") for number in range(300)),
        incidents=tuple(told_of(number, name) for number in range(1, 301)),
    )
    html = monitoring_page.render(found)
    assert len(html.encode()) < LARGEST_PAGE
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "260 more segments moved less." in text
    assert "280 more: headframe incident list flights" in text
    assert text.count("and 1 more") == 60  # of six new and six vanished levels of each column


def told_of(number: int, name: str) -> Incident:
    """Return an incident; only the 300th is grave, and every second is over."""
    return Incident(
        number=number,
        use_case="flights",
        owner="aviation",
        severity="PAGE" if number == 300 else "WARN",
        state="mitigated" if number % 2 else "open",
        title=f"{number}: {name}",
        began_at=watched.AS_OF,
        detected_at=watched.AS_OF,
    )


def test_what_is_open_and_grave_and_new_is_shown_of_many_incidents(
    windy: MonitoringReport,
) -> None:
    found = replace(windy, incidents=tuple(told_of(number, "x") for number in range(1, 301)))
    shown = [one.number for one in found.shown_incidents]
    assert shown == [300, *range(298, 260, -2)]
    assert [command for _, command in found.commands[2:]] == [
        f"headframe incident show {number}" for number in shown
    ]
