"""Profile page: a profile as one HTML file without a script or anything from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.adapters import page_templates
from pipelines.domain.profile import (
    Bin,
    ColumnProfile,
    Frequent,
    Profile,
    not_finite_name,
    share,
    shown,
)

if TYPE_CHECKING:
    from jinja2 import Environment

WIDTH, HEIGHT = 480, 96
"""Units of a histogram's drawing."""

MOST_FREQUENT_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a drawing, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    title: str


def render(profile: Profile) -> str:
    """Return the page. Everything that the table holds is escaped; long texts are cut already."""
    template = _environment().get_template("profile.html.j2")
    return template.render(
        profile=profile,
        facts=facts(profile),
        width=WIDTH,
        height=HEIGHT,
        most_frequent=MOST_FREQUENT_SHOWN,
    )


def facts(profile: Profile) -> list[tuple[str, str]]:
    """Return what is to be said of the whole table, as names and texts."""
    found = [("Rows", f"{profile.rows:,}"), ("Columns", f"{len(profile.columns):,}")]
    found.append(("Keys", f"{profile.keys:,}"))
    if profile.repeated_keys:
        found.append(
            (
                "Keys with several versions",
                f"{profile.repeated_keys:,}, at most {profile.most_versions:,} each",
            )
        )
    else:
        found.append(("Versions per key", "1" if profile.keys else "none"))
    if profile.known_from and profile.known_until:
        known = f"{shown(profile.known_from)} to {shown(profile.known_until)} UTC"
        found += [("Deliveries", f"{profile.deliveries:,}"), ("Known at", known)]
    if profile.as_of:
        found.append(("As of", f"{shown(profile.as_of)} UTC"))
    return found


def measures(column: ColumnProfile) -> list[tuple[str, str]]:
    """Return what is to be said of one column, as names and texts."""
    found = [("Missing", f"{column.missing:,} ({share(column.missing, column.rows)})")]
    if column.not_finite:
        found.append((not_finite_name(column), f"{column.not_finite:,}"))
    about = "" if column.distinct_is_exact else "about "
    found.append(("Distinct", f"{about}{column.distinct:,}"))
    texts = column.type == "string"
    for name, value in (
        ("First" if texts else "Minimum", column.minimum),
        ("Last" if texts else "Maximum", column.maximum),
        ("Share of true" if column.type == "bool" else "Mean", column.mean),
        ("Standard deviation", column.deviation),
    ):
        if value is not None and not (column.type == "bool" and name in ("Minimum", "Maximum")):
            found.append((name, shown(value)))
    if column.longest is not None:
        lengths = sorted({column.shortest or 0, column.longest})
        found.append(("Letters", " to ".join(f"{length:,}" for length in lengths)))
    return found


def histogram(column: ColumnProfile) -> list[Bar]:
    """Return the bars of a column's histogram."""
    return _bars(column.bins, WIDTH, HEIGHT)


def outline(column: ColumnProfile) -> str:
    """Return the path of the small histogram beside a column's name, 100 by 20; "" without one."""
    if not column.bins:
        return ""
    bars = _bars(column.bins, 100, 20)
    return "".join(f"M{b.x:g} 20v-{b.height:g}h{b.width:g}v{b.height:g}z" for b in bars if b.height)


def percent(found: Frequent, column: ColumnProfile) -> str:
    """Return the share of a frequent value among those that are present, in CSS's percent."""
    return f"{100 * found.rows / column.present:.1f}"


def _bars(bins: Sequence[Bin], width: float, height: float) -> list[Bar]:
    top = max((found.rows for found in bins), default=0) or 1
    step = width / max(1, len(bins))
    bars = []
    for place, found in enumerate(bins):
        # A bin with any row is seen.
        tall = round(max(1.0, height * found.rows / top), 1) if found.rows else 0.0
        title = f"{shown(found.low)} to below {shown(found.high)}: {found.rows:,} rows"
        gap = step / 12
        x, y, wide = place * step + gap / 2, height - tall, step - gap
        bars.append(Bar(round(x, 1), round(y, 1), round(wide, 1), tall, title))
    return bars


def _environment() -> "Environment":
    environment = page_templates.environment()
    environment.filters |= {"shown": shown, "measures": measures, "outline": outline}
    environment.filters |= {"histogram": histogram, "percent": percent}
    environment.globals["share"] = share
    return environment
