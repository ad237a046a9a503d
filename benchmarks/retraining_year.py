"""Retraining, a year of it: monthly models of real flights, what the gate says, and who was right."""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.gates_judged import evidence_of
from benchmarks.report import leave, load_at_start
from benchmarks.retraining_year_rows import Year, fitted, losses, year_in
from pipelines.domain.block_estimate import BlockEstimate, mean_estimate
from pipelines.domain.gates.beats_champion import BeatsChampion
from pipelines.domain.metrics import block_means
from pipelines.domain.verdict import Verdict
from pipelines.domain.windows import ForwardTime, Sliding, Window

NAME = "retraining_year"
STATIC, EXPANDING, RECENT = "static", "expanding", "last three months"
WINDOWS: Mapping[str, Window] = {EXPANDING: "expanding", RECENT: Sliding(91)}
"""What each challenger learns from; the static model is the first one, which learned from all."""

HELD_OUT_DAYS = (28, 42)
FIRST_MONTH, LAST_MONTH = 4, 12
"""The static model is trained on the first of April; challengers on the first of each month since."""

GATE = BeatsChampion("log_loss", confidence=0.95)
INTERVAL = 0.975
"""One-sided confidence of either end of an interval: 95 % together."""

Interval = tuple[float, float, float]
"""Estimate, lower and upper end, in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A challenger of one month against a champion: the gate's verdict, and what came of it.

    ``learned`` and ``judged_on`` are days; ``loss`` is the challenger's log loss on the flights of
    the month that it would serve, ``gain`` the champion's there less its own.
    """

    held_out_days: int
    month: str
    challenger: str
    champion: str
    learned: int
    judged_on: int
    verdict: str
    improvement: float | None
    at_least: float | None
    loss: Interval
    champion_loss: Interval
    gain: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A policy from May to December: its models, its log loss, and the static one's less its own."""

    held_out_days: int
    policy: str
    promoted: tuple[str, ...]
    loss: Interval
    gain: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A fitted model: which one, its loss on what it held out, and on the month that it may serve."""

    name: str
    learned: int
    fitted: object


def main() -> int:
    """Train the year and print what the gate said of each month; 1 where nothing could be judged."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}", description=__doc__)
    parser.add_argument("--held-out", type=lambda text: [int(n) for n in text.split(",")])
    asked = parser.parse_args()
    console = Console(soft_wrap=True, width=180)
    with tempfile.TemporaryDirectory(prefix="headframe-bench-") as name:
        console.print("Ingesting and describing a year of flights ...")
        year = year_in(Path(name))
    decisions: list[Decision] = []
    served: list[Served] = []
    for days in asked.held_out or HELD_OUT_DAYS:
        found = Policies(year, days, console)
        decisions += found.decisions
        served += found.served()
    console.print(_decided(decisions))
    console.print(_served(served))
    if asked.held_out is None:
        rows = [{"kind": "decision", **asdict(one)} for one in decisions]
        rows += [{"kind": "policy", **asdict(one)} for one in served]
        leave(NAME, f"make bench NAME={NAME}", rows, [], notes=[load_at_start()])
    return 0 if decisions else 1


class Policies:
    """The year with so many days held out, month by month, under every policy at once.

    A policy through the gate replaces its champion where the gate passes its challenger; the others
    replace it always, or never.
    """

    def __init__(self, year: Year, days: int, console: Console) -> None:
        self._year, self._rule = year, ForwardTime(test_days=days)
        self.decisions: list[Decision] = []
        first = self._trained(STATIC, FIRST_MONTH, "expanding")
        policies = (STATIC, *WINDOWS, *(_gated(name) for name in WINDOWS))
        self._standing = dict.fromkeys(policies, first)
        self._promoted: dict[str, list[str]] = {name: [] for name in self._standing}
        self._losses: dict[str, list[Any]] = {name: [] for name in self._standing}
        self._days: list[str] = []
        for month in range(FIRST_MONTH + 1, LAST_MONTH + 1):
            console.print(f"{days} days held out, {_name(month)} ...")
            self._decide(month)

    def served(self) -> list[Served]:
        """Return how every policy fared over all months."""
        import numpy as np

        static = np.concatenate(self._losses[STATIC])
        return [
            Served(
                held_out_days=self._rule.test_days,
                policy=policy,
                promoted=tuple(self._promoted[policy]),
                loss=_interval(np.concatenate(found), self._days),
                gain=_interval(static - np.concatenate(found), self._days),
            )
            for policy, found in self._losses.items()
        ]

    def _trained(self, name: str, month: int, window: Window) -> _Model:
        learned, _ = self._year.split(_first(month), self._rule, window)
        days = len(set(self._year.days(learned)))
        return _Model(name=name, learned=days, fitted=fitted(self._year, learned))

    def _decide(self, month: int) -> None:
        _, held_out = self._year.split(_first(month), self._rule, "expanding")
        flights = self._year.month(_first(month), _first(month + 1))
        for window in WINDOWS:
            challenger = self._trained(f"{window}, {_name(month)}", month, WINDOWS[window])
            for policy in (STATIC, _gated(window)):
                champion = self._standing[policy]
                decision = self._judged(month, challenger, champion, held_out, flights)
                if policy != STATIC:
                    if decision.verdict == "passed":
                        self._replace(policy, challenger, month)
                    if champion.name == STATIC:
                        continue  # told already
                self.decisions.append(decision)
            self._replace(window, challenger, month)
        for policy, model in self._standing.items():
            self._losses[policy].append(losses(self._year, model.fitted, flights))
        self._days += self._year.days(flights)

    def _replace(self, policy: str, model: _Model, month: int) -> None:
        self._standing[policy] = model
        self._promoted[policy].append(_name(month))

    def _judged(
        self,
        month: int,
        challenger: _Model,
        champion: _Model,
        held_out: Any,  # noqa: ANN401 - a table of Arrow
        flights: Any,  # noqa: ANN401 - as above
    ) -> Decision:
        year = self._year
        verdict, judged_on = _verdict(year, challenger, champion, held_out)
        own, others = (losses(year, one.fitted, flights) for one in (challenger, champion))
        days = year.days(flights)
        return Decision(
            held_out_days=self._rule.test_days,
            month=_name(month),
            challenger=challenger.name.removesuffix(f", {_name(month)}"),
            champion=champion.name,
            learned=challenger.learned,
            judged_on=judged_on,
            verdict=verdict.outcome,
            improvement=verdict.figures.get("improvement"),
            at_least=verdict.figures.get("at_least"),
            loss=_interval(own, days),
            champion_loss=_interval(others, days),
            gain=_interval(others - own, days),
        )


def _verdict(year: Year, challenger: _Model, champion: _Model, rows: Any) -> tuple[Verdict, int]:  # noqa: ANN401
    """Return what the gate says of held-out rows, and how many days they are."""
    days = year.days(rows)
    means, counts = {}, [0]
    for role, model in (("challenger", challenger), ("champion", champion)):
        _, counts, means[role] = block_means(losses(year, model.fitted, rows), days)
    return GATE.judge(evidence_of(counts, means)), len(counts)


def _interval(values: Any, days: Sequence[str]) -> Interval:  # noqa: ANN401 - an array of NumPy
    _, counts, means = block_means(values, days)
    found = mean_estimate(means, counts)
    assert isinstance(found, BlockEstimate)  # noqa: S101 - a month has many days
    return found.estimate, found.at_least(INTERVAL), found.at_most(INTERVAL)


def _gated(window: str) -> str:
    return f"{window}, through the gate"


def _first(month: int) -> datetime:
    return datetime(2013 + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


def _name(month: int) -> str:
    return f"2013-{month:02}"


def _decided(decisions: Sequence[Decision]) -> Table:
    table = Table(
        *("days held out", "month", "challenger", "champion", "learned days", "gate"),
        *("improvement (at least)", "log loss of the month", "champion's less its own there"),
    )
    for one in decisions:
        improved = "" if one.improvement is None else f"{one.improvement:.4f} ({one.at_least:.4f})"
        table.add_row(
            *(str(one.held_out_days), one.month, one.challenger, one.champion, str(one.learned)),
            *(one.verdict, improved, _shown(one.loss), _shown(one.gain)),
        )
    return table


def _served(served: Sequence[Served]) -> Table:
    table = Table("days held out", "policy", "promoted", "log loss", "static's less its own")
    for one in served:
        promoted = ", ".join(month.removeprefix("2013-") for month in one.promoted)
        cells = (promoted, _shown(one.loss), _shown(one.gain))
        table.add_row(str(one.held_out_days), one.policy, *cells)
    return table


def _shown(interval: Interval) -> str:
    return "{:.4f} ({:.4f} to {:.4f})".format(*interval)


if __name__ == "__main__":
    sys.exit(main())
