"""Replay tables: what a replay found, as the terminal shows it; every line fits 80 columns."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from pipelines.domain import replay_words as words
from pipelines.domain.replay_result import PeriodResult, PolicyResult, ReplayResult
from pipelines.domain.replay_words import Event

BARS = "▁▂▃▄▅▆▇█"
"""Heights of a period's loss, from the least of all policies to the greatest."""

DAY = len("╵2026-03-30 ")
"""Columns that a day takes below the bars."""

WIDEST = DAY // 2
"""Columns of a bar at most: few periods are drawn wider."""

DIGITS = 12
LONGEST_OUTCOME = 160
"""Letters of an outcome that are shown; page and JSON have all."""

STYLES = {"promoted": "green", "back": "yellow", "trained": "", "held": "yellow"}
ANSWERS = {"better": "bold green", "worse": "bold red"}

Column = tuple[str, Callable[[PolicyResult], str | Text]]


def show(console: Console, found: ReplayResult) -> None:
    """Print policies beside each other, their losses over time, trainings and alarms."""
    title = f"{found.use_case}, {words.span(found)}, monitored every {found.every}"
    console.print(Text(title, style="bold"))
    console.print(_figures(found))
    for one in words.comparisons(found):
        console.print(Text(one.sentence, style=ANSWERS.get(one.answer, "bold")))
    console.print()
    console.print(_grid(found, COUNTS))
    console.print()
    console.print(_grid(found, COVERAGE))
    console.print()
    for line in over_time(found, console.width):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    if rows := [(one, event) for one in found.policies for event in words.events(found, one)]:
        console.print()
        console.print(_trainings(found, rows))
    if any(one.alarms for one in found.policies):
        console.print()
        console.print(_alarms(found))
    console.print()
    for warning in words.warnings(found):
        console.print(Text(warning))
    for note in words.notes(found):
        console.print(Text(note, style="dim"))
    console.print(f"ledger {found.ledger[:DIGITS]}", highlight=False)


def over_time(found: ReplayResult, width: int) -> Iterator[Text]:
    """Return a line of bars for each policy, all on one scale, and the days that periods begin on.

    A line is no longer than ``width`` columns: what does not fit goes on in further lines.
    """
    known = found.losses()
    if not known:
        yield Text("No period has a loss: its final labels are too few.")
        return
    low, high = min(known), max(known)
    title = f"mean {found.loss} by {found.every}, {low:.4f} ▁ to {high:.4f} █"
    none = any(one.loss is None for policy in found.policies for one in policy.periods)
    yield Text(f"{title}, none ·" if none else title, style="bold")
    margin = max(len(one.policy) for one in found.policies) + 2
    every = found.policies[0].periods
    room = max(DAY, width - margin)
    wide = min(WIDEST, max(1, room // len(every)))
    for begin in range(0, len(every), room):
        part = slice(begin, begin + room)
        for one in found.policies:
            yield Text(f"{one.policy:{margin}}{bars(one.periods[part], (low, high), wide)}")
        days = [f"{found.local(one.begin):%Y-%m-%d}" for one in every[part]]
        yield Text(" " * margin + axis(days, wide, room), style="dim")


def bars(periods: Sequence[PeriodResult], bounds: tuple[float, float], wide: int) -> str:
    """Return a bar of so many columns for each period's loss, dots where there is none."""
    low, high = bounds
    span = (high - low) or 1.0
    return "".join(
        wide
        * (
            "·"
            if one.loss is None
            else BARS[min(len(BARS) - 1, int((one.loss - low) / span * len(BARS)))]
        )
        for one in periods
    )


def axis(days: Sequence[str], wide: int, room: int) -> str:
    """Return the days below bars of ``wide`` columns each, as many as fit in ``room`` columns.

    >>> axis(["2026-03-30", "2026-04-06", "2026-04-13"], 6, 70)
    '╵2026-03-30 ╵2026-04-13'
    """
    step = -(-DAY // wide)
    told = ""
    for place in range(0, len(days), step):
        if place * wide + DAY - 1 <= room:
            told += f"╵{days[place]}".ljust(step * wide)
    return told.rstrip()


def _figures(found: ReplayResult) -> Grid:
    columns: list[Column] = [
        ("loss", lambda one: words.mean(one.loss)),
        ("95 % interval", lambda one: words.interval(one.loss)),
    ]
    if len(found.policies) > 1:
        columns += [
            ("gain", lambda one: words.mean(one.gain, signed=True)),
            ("95 % interval", lambda one: words.interval(one.gain, signed=True)),
        ]
    return _grid(found, columns)


def _grid(found: ReplayResult, columns: Sequence[Column]) -> Grid:
    """Return a line for each policy."""
    grid = _bare_grid()
    grid.add_column("retrain", no_wrap=True)
    for name, _ in columns:
        grid.add_column(name, justify="right", no_wrap=True)
    for one in found.policies:
        grid.add_row(one.policy, *(told(one) for _, told in columns))
    return grid


def _alarmed(level: str, style: str) -> Column:
    def told(policy: PolicyResult) -> Text:
        count = policy.alarms_of(level)
        return Text(f"{count}", style=style if count else "")

    return level, told


COUNTS: Sequence[Column] = (
    ("trained", lambda one: f"{len(one.trainings)}"),
    ("promoted", lambda one: f"{one.promoted}"),
    ("rolled back", lambda one: f"{one.rolled_back}"),
    ("held back", lambda one: f"{len(one.held)}"),
    _alarmed("PAGE", "red"),
    _alarmed("WARN", "yellow"),
    ("CPU s", lambda one: f"{sum(one.cpu_s.values()):,.0f}"),
)

COVERAGE: Sequence[Column] = (
    ("predictions", lambda one: f"{one.predictions:,}"),
    ("final labels", lambda one: f"{one.final:,}"),
    ("blocks measured", lambda one: f"{len(one.blocks):,}"),
    ("too few", lambda one: f"{one.too_few:,}"),
    ("times refused", lambda one: f"{one.refused:,}"),
)


def _bare_grid() -> Grid:
    return Grid(box=None, pad_edge=False, header_style="bold")


def _trainings(found: ReplayResult, rows: Sequence[tuple[PolicyResult, Event]]) -> Grid:
    grid = _bare_grid()
    for name in ("retrain", "when", "cause"):
        grid.add_column(name, max_width=len("2026-03-30 00:00"))
    grid.add_column("outcome", overflow="fold", ratio=1)
    for policy, event in rows:
        outcome = event.outcome
        if len(outcome) > LONGEST_OUTCOME:
            outcome = f"{outcome[: LONGEST_OUTCOME - 1]}…"
        told = Text(outcome, style=STYLES[event.kind])
        grid.add_row(policy.policy, event.when, event.cause, told)
    return grid


def _alarms(found: ReplayResult) -> Grid:
    grid = _bare_grid()
    for name in ("retrain", "alarm", "began", "last seen", "test"):
        grid.add_column(name, no_wrap=True)
    for policy in found.policies:
        for one in policy.alarms:
            level = Text(one.level, style="red" if one.level == "PAGE" else "yellow")
            grid.add_row(policy.policy, level, one.block, one.last, one.test)
    return grid
