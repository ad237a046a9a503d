"""Figures: alarms on quiet data, power and delay on injected, with intervals, and what beat us."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.drift_quality_bands import (
    Estimate,
    beaten,
    binomial_band,
    median_delay,
    per_quarter,
    share,
)
from benchmarks.drift_quality_data import KINDS, QUARTER, WINDOW, Kind
from benchmarks.drift_quality_injections import Injection
from benchmarks.drift_quality_ours import ALARMS_PER_QUARTER, Judged
from benchmarks.drift_quality_readings import (
    Readings,
    Rule,
    Shipped,
    recalibrated,
    windows_with_alarm,
)
from benchmarks.drift_quality_runs import Part, Told
from benchmarks.drift_quality_worlds import injections_of
from benchmarks.report import Goal

OURS = "ours"
ALARMS, FOUND = "WARN and PAGE", "INFO and above"
SEVERITIES: Mapping[str, frozenset[str]] = {
    ALARMS: frozenset({"WARN", "PAGE"}),
    FOUND: frozenset({"INFO", "WARN", "PAGE"}),
}
AS_SHIPPED = "as shipped"
MANNERS = ("one limit", "a limit per column")
"""How limits are recalibrated: one factor for all columns, or each in its own quiet units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One system in one setting: on quiet data (``injection`` None) or on one injection.

    ``alarms`` are checks that alarm in a quarter of 91, ``episodes`` those that are no alarm that
    stands already: nothing fired in the seven checks before. ``found`` is the share of orders with
    an alarm within seven blocks of the onset, ``delay`` the median in blocks, ``blamed`` the share
    of all that were found within 21 blocks in which the first alarm names the right column.
    """

    kind: Kind
    system: str
    setting: str
    injection: str | None
    orders: int
    alarms: Estimate | None = None
    episodes: Estimate | None = None
    found: Estimate | None = None
    delay: Estimate | None = None
    blamed: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An injection on which a peer, at our rate, found more than we did.

    ``by_luck`` is True where the sign test does not tell the two apart.
    """

    kind: Kind
    injection: str
    setting: str
    system: str
    ours: float
    theirs: float
    by_luck: bool


@dataclass(slots=True)
class Collected:
    """What all runs said, by kind, part, injection and system."""

    readings: dict[tuple[Kind, Part, str | None, str], list[Readings]] = field(
        default_factory=lambda: defaultdict(list)
    )
    ours: dict[tuple[Kind, Part, str | None], list[tuple[Judged, ...]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, told: Told) -> None:
        """Add what was said on one order."""
        kind, part = told.task.kind, told.task.part
        for injection, by_system in told.readings.items():
            for system, found in by_system.items():
                self.readings[kind, part, injection, system].append(found)
        for injection, judged in told.ours.items():
            self.ours[kind, part, injection].append(judged)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds that figures were collected of, in their usual order."""
        return [kind for kind in KINDS if any(key[:2] == (kind, "quiet") for key in self.ours)]

    def systems(self, kind: Kind) -> list[str]:
        """Return the peers of a kind, as they were read."""
        keys = [key[3] for key in self.readings if key[:2] == (kind, "quiet")]
        return list(dict.fromkeys(keys))


@dataclass(slots=True, kw_only=True)
class Figures:
    """All lines, and every injection on which a peer found more at our rate."""

    lines: list[Line] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)


def figures_of(collected: Collected) -> Figures:
    """Return the figures of everything collected."""
    figures = Figures()
    for kind in collected.kinds:
        figures.lines += _quiet_of_ours(collected, kind)
        rules = rules_of(collected, kind)
        for (system, setting), rule in rules.items():
            quiet = collected.readings[kind, "quiet", None, system]
            alarms = [rule.alarms(readings) for readings in quiet]
            figures.lines.append(
                Line(
                    kind=kind,
                    system=system,
                    setting=setting,
                    injection=None,
                    orders=len(quiet),
                    alarms=per_quarter([int(flags.sum()) for flags in alarms]),
                    episodes=per_quarter([episodes(flags.tolist()) for flags in alarms]),
                )
            )
        if not collected.ours[kind, "power", None]:
            continue
        for injection in (None, *injections_of(kind)):
            _add_power(figures, collected, kind, injection, rules)
    return figures


def rules_of(collected: Collected, kind: Kind) -> dict[tuple[str, str], Rule]:
    """Return every peer's rules: as shipped, and recalibrated to each of our two quiet rates.

    A rate is the share of windows of seven checks with an alarm. Where we never alarmed it is that
    of one check in all quarters that were run.
    """
    judged = collected.ours[kind, "quiet", None]
    least = WINDOW / (len(judged) * (QUARTER - WINDOW + 1))
    rates = {
        setting: max(
            windows_with_alarm(
                [[each.severity in severities for each in quarter] for quarter in judged]
            ),
            least,
        )
        for setting, severities in SEVERITIES.items()
    }
    rules: dict[tuple[str, str], Rule] = {}
    for system in collected.systems(kind):
        rules[system, AS_SHIPPED] = Shipped()
        calibration = collected.readings[kind, "calibration", None, system]
        for setting, rate in rates.items():
            moved = recalibrated(calibration, rate)
            rules[system, f"{MANNERS[0]}, at our rate of {setting}"] = moved[0]
            rules[system, f"{MANNERS[1]}, at our rate of {setting}"] = moved[1]
    return rules


def goals_of(figures: Figures) -> list[Goal]:
    """Return the goals: the budget, no loss at an equal rate, and joint breaks within a week."""
    goals: list[Goal] = []
    for line in figures.lines:
        if line.system == OURS and line.setting == ALARMS and line.alarms and line.episodes:
            band = binomial_band(line.orders, ALARMS_PER_QUARTER, QUARTER)
            # A monitor that never stops alarming has one alarm, and is caught by its checks.
            for what, told in (("alarms", line.episodes), ("checks that alarm", line.alarms)):
                name = (
                    f"{line.kind}: {what} a quarter, {line.orders} quarters, to the budget's band"
                )
                goals.append(Goal(name=name, target=band.high, measured=told.value))
    kinds = list(dict.fromkeys(line.kind for line in figures.lines if line.injection))
    for kind in kinds:
        for setting in (ALARMS, FOUND):
            lost = {
                loss.injection
                for loss in figures.losses
                if loss.kind == kind and setting in loss.setting and not loss.by_luck
            }
            name = f"{kind}: injections on which a peer at our rate of {setting} finds more"
            goals.append(Goal(name=name, target=0.0, measured=float(len(lost))))
    for line in figures.lines:
        joint = line.injection and line.injection.startswith("joint break")
        if joint and line.system == OURS and line.setting == FOUND and line.delay:
            name = f"{line.kind}: blocks until a {line.injection} is found, median"
            found = line.delay.value if np.isfinite(line.delay.value) else None
            goals.append(Goal(name=name, target=float(WINDOW), measured=found))
    return goals


def _quiet_of_ours(collected: Collected, kind: Kind) -> list[Line]:
    judged = collected.ours[kind, "quiet", None]
    return [
        Line(
            kind=kind,
            system=OURS,
            setting=setting,
            injection=None,
            orders=len(judged),
            alarms=per_quarter(_counts(judged, severities)),
            episodes=per_quarter(
                [episodes([each.severity in severities for each in quarter]) for quarter in judged]
            ),
        )
        for setting, severities in SEVERITIES.items()
    ]


def _add_power(
    figures: Figures,
    collected: Collected,
    kind: Kind,
    injection: Injection | None,
    rules: Mapping[tuple[str, str], Rule],
) -> None:
    name = injection.name if injection else None
    found: dict[tuple[str, str], list[bool]] = {}
    for setting, severities in SEVERITIES.items():
        firsts = [
            first(
                [each.severity in severities for each in judged],
                lambda at, judged=judged: judged[at].blamed,  # type: ignore[misc] # bound here
            )
            for judged in collected.ours[kind, "power", name]
        ]
        figures.lines.append(power_line(kind, OURS, setting, injection, firsts))
        found[OURS, setting] = [delay <= WINDOW for delay, _ in firsts]
    for (system, setting), rule in rules.items():
        firsts = []
        for readings in collected.readings[kind, "power", name, system]:
            blamed = rule.blamed(readings)
            firsts.append(first(rule.alarms(readings).tolist(), blamed.__getitem__))
        figures.lines.append(power_line(kind, system, setting, injection, firsts))
        found[system, setting] = [delay <= WINDOW for delay, _ in firsts]
    if name is not None:
        figures.losses += _losses(kind, name, found)


def _losses(
    kind: Kind, injection: str, found: Mapping[tuple[str, str], Sequence[bool]]
) -> Iterable[Loss]:
    for (system, setting), theirs in found.items():
        at_our_rate = next((each for each in (ALARMS, FOUND) if setting.endswith(each)), None)
        if system == OURS or at_our_rate is None:
            continue
        ours = found[OURS, at_our_rate]
        if sum(theirs) > sum(ours):
            yield Loss(
                kind=kind,
                injection=injection,
                setting=setting,
                system=system,
                ours=sum(ours) / len(ours),
                theirs=sum(theirs) / len(theirs),
                by_luck=not beaten(ours, theirs),
            )


def episodes(alarms: Sequence[bool]) -> int:
    """Return how many alarms begin: those with none in the seven checks before."""
    return sum(
        alarm and not any(alarms[max(0, at - WINDOW) : at]) for at, alarm in enumerate(alarms)
    )


def first(alarms: Sequence[bool], blamed: Callable[[int], str]) -> tuple[float, str]:
    """Return the number of the first check that alarms, from 1, and whom it blames; else infinite."""
    for at, alarm in enumerate(alarms):
        if alarm:
            return at + 1.0, blamed(at)
    return float("inf"), ""


def power_line(
    kind: Kind,
    system: str,
    setting: str,
    injection: Injection | None,
    firsts: Sequence[tuple[float, str]],
) -> Line:
    """Return the line of one system on one injection from each order's first alarm."""
    named = [blamed for delay, blamed in firsts if np.isfinite(delay)]
    right = sum(blamed == injection.blame for blamed in named) if injection else 0
    return Line(
        kind=kind,
        system=system,
        setting=setting,
        injection=injection.name if injection else "none",
        orders=len(firsts),
        found=share(sum(delay <= WINDOW for delay, _ in firsts), len(firsts)),
        delay=median_delay([delay for delay, _ in firsts]),
        blamed=share(right, len(named)) if named and injection and injection.blame else None,
    )


def _counts(judged: Sequence[Sequence[Judged]], severities: frozenset[str]) -> list[int]:
    return [sum(each.severity in severities for each in quarter) for quarter in judged]
