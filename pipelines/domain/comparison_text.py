"""Comparison text: two versions side by side in columns, what is alike counted."""

from collections.abc import Iterator, Sequence

from pipelines.domain.comparison import Comparison, Fact, Group, Paired, figure

HEADINGS: dict[Group, str] = {
    "made": "made",
    "parameter": "parameters",
    "feature": "features",
    "table": "data versions",
    "package": "packages",
    "digest": "digests",
}

SHORT = 16
"""Hex digits of a digest that people are shown."""


def comparison_text(found: Comparison) -> str:
    """Return the lines for the terminal: metrics, what is better on the same rows, differences."""
    return "\n".join(line.rstrip() for line in _lines(found))


def _lines(found: Comparison) -> Iterator[str]:
    columns = ("", f"version {found.first}", f"version {found.second}")
    yield f"{found.use_case}: version {found.first} and version {found.second}"
    yield ""
    if found.metrics:
        yield "metrics, each on its own held-out rows, with 95 % intervals over blocks"
        rows = [(one.metric, figure(one.first), figure(one.second)) for one in found.metrics]
        yield from _columns([columns, *rows])
        yield ""
    if found.paired:
        yield f"on the same rows: {found.basis}"
        yield from _columns(
            [
                ("", f"version {found.second} better by", ""),
                *(
                    (one.metric, figure(one.improvement, signed=True), _better(found, one))
                    for one in found.paired
                ),
            ]
        )
    else:
        yield found.basis
    for group, heading in HEADINGS.items():
        facts = [one for one in found.facts if one.group == group]
        if not facts:
            continue
        yield ""
        differing = [one for one in facts if one.differs]
        alike = len(facts) - len(differing)
        yield (
            f"{heading}: {len(differing)} differ, {alike} alike"
            if differing
            else (f"{heading}: all {alike} alike")
        )
        if differing:
            shown = [(one.name, *_shown(one)) for one in differing]
            yield from _columns([columns, *shown])


def _better(found: Comparison, one: Paired) -> str:
    side = one.improvement.side
    if one.improvement.low is None:
        return "not told apart: too few blocks"
    if side == 0:
        return "not told apart"
    return f"version {found.second if side > 0 else found.first} is better"


def _shown(one: Fact) -> tuple[str, str]:
    if one.group == "digest":
        return one.first[:SHORT] or "-", one.second[:SHORT] or "-"
    return one.first or "-", one.second or "-"


def _columns(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    first, second = (max(len(row[place]) for row in rows) for place in (0, 1))
    for name, one, other in rows:
        yield f"  {name:<{first}}  {one:<{second}}  {other}"
