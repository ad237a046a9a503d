"""Every deliberate error: where, what was expected, what was found, what to do."""

from dataclasses import dataclass

MOST_PROBLEMS_SHOWN = 10
"""Problems listed in one message; the rest is counted (a reader mends ten at a time)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One broken expectation, in words that tell the reader what to do next.

    ``about`` names the one thing it concerns, such as ``table:schedule``, where that is known: alarms
    about the same thing are one incident.
    """

    where: str
    expected: str
    found: str
    fix: str
    about: str = ""

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}; found {self.found}.\n  {self.fix}"


class HeadframeError(Exception):
    """A broken promise, with all its problems.

    ``retryable`` is True only on types where waiting may help.
    """

    retryable = False

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        shown = [str(problem) for problem in problems[:MOST_PROBLEMS_SHOWN]]
        if len(problems) > MOST_PROBLEMS_SHOWN:
            shown.append(f"... and {len(problems) - MOST_PROBLEMS_SHOWN} more.")
        super().__init__("\n".join(shown))

    @property
    def about(self) -> tuple[str, ...]:
        """What its problems concern, each once, as far as they say."""
        return tuple(dict.fromkeys(problem.about for problem in self.problems if problem.about))


class DeclarationError(HeadframeError):
    """A use case whose declaration is wrong."""


class SettingsError(HeadframeError):
    """A setting of the platform that cannot be used."""


class SuiteError(HeadframeError):
    """An expectation suite that cannot be loaded or evaluated whole."""


class FileRefused(HeadframeError):  # noqa: N818 - reads as what happened to the file
    """A landed file that was not taken in."""


class QualityRefused(HeadframeError):  # noqa: N818 - reads as what happened to the rows
    """Rows that were not published because a critical expectation failed."""


class LakeError(HeadframeError):
    """A Delta table that is not as Headframe left it."""


class VersionGone(LakeError):  # noqa: N818 - names what happened
    """A version of a Delta table whose data files were removed since, as those of no model's are."""


class CommitLost(HeadframeError):  # noqa: N818 - reads as what happened to the commit
    """A commit that lost every race against other writers."""

    retryable = True


class PlanOvertaken(CommitLost):
    """A plan whose table another run has changed since: only a new plan can be carried out."""

    retryable = False


class ServiceUnavailable(HeadframeError):  # noqa: N818 - the field's own term
    """An outside service that did not answer."""

    retryable = True


class NotEnoughData(HeadframeError):  # noqa: N818 - a result of its own
    """Too few rows or blocks for the question asked."""


class ChampionUnresolved(HeadframeError):  # noqa: N818 - names the state
    """Decisions ledger, alias and artifact do not agree on one champion."""


class PromotionRefused(HeadframeError):  # noqa: N818 - names the outcome
    """A model that may not become the champion."""


class PromiseBroken(HeadframeError):  # noqa: N818 - names what happened
    """Predictions that break what was promised to their consumers; they are not published."""


WINDOW_REFUSALS = (NotEnoughData, PromiseBroken)
"""Refusals of one scoring window, which keep no other window from being scored."""


class OutputRefused(HeadframeError):  # noqa: N818 - reads as what happened to the output
    """An output that could not be delivered as declared."""


class BudgetSpent(HeadframeError):  # noqa: N818 - names the state
    """A training that would cost more than is left of what its use case may spend."""


class CodeChanged(HeadframeError):  # noqa: N818 - names what happened
    """The code of a use case changed in the middle of a run."""


class PlatformError(HeadframeError):
    """A platform process, port, tool or file that stands in the way."""
