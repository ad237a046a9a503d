"""Profile grid: a profile on the terminal, with small histograms."""

from rich.table import Table as Grid
from rich.text import Text

from pipelines.cli.terminal import console
from pipelines.domain.profile import ColumnProfile, Profile, bars, not_finite_name, share, shown

MOST_FREQUENT_SHOWN = 3
"""Frequent values of a column, as many as fit in a line."""

SHOWN_QUANTILES = (0.05, 0.5, 0.95)


ESTIMATES = "~ marks an estimate, and then the quantiles are estimates too; the rest is exact."


def show(profile: Profile) -> None:
    """Print the profile: a line about the table, then two lines a column."""
    versions = f"{profile.keys:,} keys"
    if profile.repeated_keys:
        versions += (
            f", {profile.repeated_keys:,} of them with 2 to {profile.most_versions:,} versions"
        )
    lines = [f"{profile.source}: {profile.rows:,} rows, {versions}"]
    if profile.known_from and profile.known_until:
        span = f"{shown(profile.known_from)} to {shown(profile.known_until)} UTC"
        lines.append(f"known at {span}, {profile.deliveries:,} deliveries")
    for line in lines:
        console.print(line, markup=False, highlight=False)
    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("column", "missing", "distinct", "values", "most frequent"):
        grid.add_column(name, overflow="fold")
    for column in profile.columns:
        grid.add_row(
            Text.assemble(column.name, "\n", (column.type, "dim")),
            Text(f"{column.missing:,}\n{share(column.missing, column.rows)}"),
            Text(f"{'' if column.distinct_is_exact else '~'}{column.distinct:,}"),
            Text.assemble(*_values(column)),
            Text(_frequent(column)),
        )
    console.print(grid)
    console.print(ESTIMATES, style="dim", highlight=False)


def _values(column: ColumnProfile) -> list[str | tuple[str, str]]:
    """Return lines on the values, the histogram in a style of its own."""
    if not column.distinct:
        return ["none"]
    if column.type == "bool":
        return [f"true in a share of {shown(column.mean)}"]
    lines = [f"{shown(column.minimum)} … {shown(column.maximum)}"]
    if column.type == "string":
        lengths = sorted({column.shortest or 0, column.longest or 0})
        lines.append(f"{' to '.join(map(str, lengths))} letters")
    if column.mean is not None:
        deviation = f" ± {shown(column.deviation)}" if column.deviation is not None else ""
        lines.append(f"mean {shown(column.mean)}{deviation}")
    if column.type in ("int64", "double"):
        told = ", ".join(shown(column.quantile(part)) for part in SHOWN_QUANTILES)
        lines.append(f"5/50/95 %: {told}")
    if column.not_finite:
        lines.append(f"{column.not_finite:,} {not_finite_name(column).lower()}")
    histogram = bars(found.rows for found in column.bins)
    return ["\n".join(lines), ("\n" + histogram, "cyan") if histogram else ""]


def _frequent(column: ColumnProfile) -> str:
    if column.frequent and column.frequent[0].rows == 1:
        return "each once; such as " + ", ".join(shown(value) for value in column.examples[:2])
    found = [
        f"{shown(f.value) or repr(f.value)} ({share(f.rows, column.present)})"
        for f in column.frequent[:MOST_FREQUENT_SHOWN]
    ]
    return "\n".join(found)
