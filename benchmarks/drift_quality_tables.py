"""Tables: alarms on quiet data and power on injected, as a benchmark of drift prints them."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.drift_quality_bands import Estimate, binomial_band
from benchmarks.drift_quality_data import QUARTER, Kind
from benchmarks.drift_quality_figures import ALARMS, AS_SHIPPED, FOUND, OURS, Figures, Line, Loss
from benchmarks.drift_quality_ours import ALARMS_PER_QUARTER

WIDTH = 200
"""Characters of a printed line."""


def show(figures: Figures, console: Console | None = None) -> None:
    """Print a table of alarms and a table of power for each kind of quiet data."""
    console = console or Console(soft_wrap=True, width=WIDTH)
    for kind in dict.fromkeys(line.kind for line in figures.lines):
        lines = [line for line in figures.lines if line.kind == kind]
        console.print(alarms_table(kind, [line for line in lines if line.injection is None]))
        if injected := [line for line in lines if line.injection]:
            console.print(power_table(kind, injected))
    for loss in worst(figures.losses):
        console.print(told(loss), highlight=False)


def alarms_table(kind: Kind, lines: Sequence[Line]) -> Table:
    """Return checks that alarm and alarms that begin per quarter, of every system as shipped.

    Below it, in the title, the band in which the declared budget lies by luck.
    """
    band = binomial_band(lines[0].orders, ALARMS_PER_QUARTER, QUARTER)
    title = f"{kind}, nothing drifts, {lines[0].orders} quarters; budget {band} a quarter"
    table = Table(
        "system", "setting", "checks that alarm a quarter", "alarms a quarter", title=title
    )
    for line in as_shipped(lines):
        table.add_row(line.system, line.setting, str(line.alarms), str(line.episodes))
    return table


def power_table(kind: Kind, lines: Sequence[Line]) -> Table:
    """Return for each injection how often it is found within seven blocks, ours and the best peer.

    The best peer is that which finds it most often of those recalibrated to our own rate.
    """
    title = f"{kind}, share found within 7 blocks of the onset, {lines[0].orders} orders"
    table = Table(
        "injection",
        f"ours, {ALARMS}",
        "median delay",
        "right column",
        "best peer at this rate",
        f"ours, {FOUND}",
        "median delay",
        "right column",
        "best peer at this rate",
        title=title,
    )
    for injection in dict.fromkeys(line.injection for line in lines):
        cells: list[str] = []
        of_injection = [line for line in lines if line.injection == injection]
        for setting in (ALARMS, FOUND):
            ours = _one(of_injection, OURS, setting)
            cells += [str(ours.found), _delay(ours.delay), _short(ours.blamed)]
            cells.append(_best(of_injection, setting))
        table.add_row(str(injection), *cells)
    return table


def worst(losses: Sequence[Loss]) -> list[Loss]:
    """Return of each injection and rate the peer that found most more than we did."""
    found: dict[tuple[str, str, str], Loss] = {}
    for loss in losses:
        key = (loss.kind, loss.injection, ALARMS if loss.setting.endswith(ALARMS) else FOUND)
        if key not in found or (loss.by_luck, -loss.theirs) < (
            found[key].by_luck,
            -found[key].theirs,
        ):
            found[key] = loss
    return list(found.values())


def told(loss: Loss) -> str:
    """Return a loss in words."""
    how = "within luck" if loss.by_luck else "MORE THAN BY LUCK"
    return (
        f"{loss.kind}, {loss.injection}: {loss.system}, {loss.setting}, finds {loss.theirs:.2f},"
        f" ours {loss.ours:.2f}: {how}"
    )


def as_shipped(lines: Iterable[Line]) -> list[Line]:
    """Return the lines of ours, and of the peers with the limits they come with."""
    return [line for line in lines if line.system == OURS or line.setting == AS_SHIPPED]


def _one(lines: Iterable[Line], system: str, setting: str) -> Line:
    return next(line for line in lines if (line.system, line.setting) == (system, setting))


def _best(lines: Iterable[Line], setting: str) -> str:
    found = [
        (line.found.value, f"{line.system}, {line.setting.split(',')[0]}")
        for line in lines
        if line.system != OURS and line.setting.endswith(setting) and line.found
    ]
    share, name = max(found)
    return f"{share:.2f} {name}"


def _delay(delay: Estimate | None) -> str:
    return "" if delay is None else f"{delay.value:.0f}"


def _short(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.2f}"
