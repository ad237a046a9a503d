"""Replay tables: what a replay found, as the terminal shows it."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from pipelines.domain.replay_result import Figure, PeriodResult, PolicyResult, ReplayResult

BARS = "▁▂▃▄▅▆▇█"
"""Heights of a period's loss, from the least of all policies to the greatest."""

DIGITS = 12


def show(console: Console, found: ReplayResult) -> None:
    """Print policies beside each other, their losses over time, trainings and alarms."""
    days = f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}"
    title = f"{found.use_case}, {days}, monitored every {found.every}"
    console.print(Text(title, style="bold"))
    console.print(_policies(found))
    console.print(_trainings(found))
    for line in notes(found):
        console.print(line, markup=False, highlight=False, style="dim", soft_wrap=True)
    console.print(f"ledger {found.ledger[:DIGITS]}", highlight=False, soft_wrap=True)


def notes(found: ReplayResult) -> list[str]:
    """Return what has to be known to read the figures, a sentence each."""
    first = found.policies[0].policy
    told = [f"Loss: mean {found.loss} ({found.unit}) on final labels, with 95 % intervals."]
    if len(found.policies) > 1:
        told.append(f"Gain: by how much it is below that of {first}, on the same blocks.")
    if found.governed:
        told.append("Approver: simulated; says yes at once to what the gates let through.")
    if found.left_out:
        told.append(f"Not asked, since they measure this machine: {', '.join(found.left_out)}.")
    if found.stale:
        told.append(
            f"Silver has moved on since this replay began ({', '.join(found.stale)}): "
            "--fresh reads it as it is now."
        )
    return told


def _policies(found: ReplayResult) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in ("retrain", "loss", "gain", "over time", "trained", "promoted", "back", "PAGE"):
        grid.add_column(name, justify="left" if name in ("retrain", "over time") else "right")
    for name in ("WARN", "CPU s"):
        grid.add_column(name, justify="right")
    for one in found.policies:
        grid.add_row(
            one.policy,
            figure(one.loss),
            figure(one.gain, signed=True),
            bars(one.periods, _bounds(found.policies)),
            str(len(one.trainings)),
            str(one.promoted),
            str(one.rolled_back),
            Text(str(one.alarms_of("PAGE")), style="red" if one.alarms_of("PAGE") else ""),
            Text(str(one.alarms_of("WARN")), style="yellow" if one.alarms_of("WARN") else ""),
            f"{sum(one.cpu_s.values()):.0f}",
        )
    return grid


def _trainings(found: ReplayResult) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in ("retrain", "when (UTC)", "cause", "outcome"):
        grid.add_column(name, overflow="fold")
    for policy in found.policies:
        for one in policy.trainings:
            style = "green" if one.promoted else ""
            told = Text(one.outcome, style=style)
            grid.add_row(policy.policy, f"{one.at:%Y-%m-%d %H:%M}", one.cause, told)
    return grid


def figure(found: Figure | None, *, signed: bool = False) -> str:
    """Return a figure with its interval.

    >>> figure(Figure(mean=0.4567, low=0.44, high=0.47))
    '0.4567 (0.4400 to 0.4700)'
    """
    if found is None:
        return ""
    sign = "+" if signed else ""
    told = f"{found.mean:{sign}.4f}"
    if found.low is None or found.high is None:
        return f"{told} (too few)"
    return f"{told} ({found.low:{sign}.4f} to {found.high:{sign}.4f})"


def bars(periods: Sequence[PeriodResult], bounds: tuple[float, float]) -> str:
    """Return a bar for each period's loss, a dot where there is none."""
    low, high = bounds
    span = (high - low) or 1.0
    return "".join(
        "·"
        if one.loss is None
        else BARS[min(len(BARS) - 1, int((one.loss - low) / span * len(BARS)))]
        for one in periods
    )


def _bounds(policies: Sequence[PolicyResult]) -> tuple[float, float]:
    known = [one.loss for policy in policies for one in policy.periods if one.loss is not None]
    return (min(known), max(known)) if known else (0.0, 1.0)
