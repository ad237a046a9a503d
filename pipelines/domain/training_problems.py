"""Training problems: what is wrong with how a use case declares that models are made."""

from collections.abc import Iterator

from pipelines.domain.contract_problems import NAME, choice_problems, problem
from pipelines.domain.metrics import MINIMUM_BLOCKS
from pipelines.domain.search_space import unknown_parameters
from pipelines.domain.training import Asked, Candidate, Training
from pipelines.domain.weights import Weights
from pipelines.domain.windows import Sliding
from pipelines.errors import Problem

MOST_TUNING_TASKS = 64
"""Tasks of one search; each reads the training rows for itself."""

LEAST_VALIDATION_DAYS = 7
"""Days to judge trials on (decision): a week has every weekday."""


def training_problems(training: Training, where: str) -> Iterator[Problem]:
    """Yield every problem of a training."""
    yield from choice_problems(training, where)
    if training.start.tzinfo is None:
        yield problem(
            f"{where}, start",
            "a time with its zone",
            training.start.isoformat(),
            "Write datetime(..., tzinfo=UTC).",
        )
    if training.split.test_days < MINIMUM_BLOCKS:
        yield problem(
            f"{where}, split",
            f"test_days of at least {MINIMUM_BLOCKS}",
            str(training.split.test_days),
            "A gate judges on daily blocks; on fewer it can only answer 'too few'.",
        )
    yield from _window(training, where)
    yield from _candidates(training, where)
    yield from _search(training, where)


def asked_problems(asked: Asked, declared: Training, where: str) -> Iterator[Problem]:
    """Yield every problem of the training that is asked for in place of what is declared.

    Raises DeclarationError for unknown candidates.
    """
    training = asked.of(declared)
    yield from training_problems(training, where)
    # As many as are declared is nothing that was asked for.
    if training.trials > 0 and training.trials != declared.trials and not training.searches:
        yield problem(
            f"{where}, trials",
            "0, since no candidate that is tried has a space to search",
            str(training.trials),
            "Leave trials out, or declare what to vary: Candidate(..., {'depth': IntUniform(2, 8)}).",
        )


def _window(training: Training, where: str) -> Iterator[Problem]:
    window: object = training.window  # whatever was declared
    if not isinstance(window, Sliding) and window != "expanding":
        yield problem(
            f"{where}, window",
            "'expanding' or Sliding(days)",
            repr(window),
            "An expanding window learns from all blocks since start, a sliding one from the last.",
        )
    if isinstance(window, Sliding) and window.days < MINIMUM_BLOCKS:
        yield problem(
            f"{where}, window",
            f"a sliding window of at least {MINIMUM_BLOCKS} days",
            str(window.days),
            "Fewer days are too few to learn from.",
        )
    weights: object = training.weights
    if weights is not None and not isinstance(weights, Weights):
        yield problem(
            f"{where}, weights",
            "Recent(half_life_days=...), ByColumn(column=...) or anything that weighs rows",
            repr(weights),
            "Give an object with a method weigh(rows).",
        )


def _candidates(training: Training, where: str) -> Iterator[Problem]:
    names = [one.name for one in training.candidates]
    if not names:
        yield problem(
            f"{where}, candidates", "at least one candidate", "none", "Name a model to train."
        )
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield problem(
            f"{where}, candidates", "each name once", f"{name!r} twice", "Rename one of them."
        )
    for candidate in training.candidates:
        yield from _candidate(candidate, f"{where}, candidate {candidate.name!r}")
    if len(names) > 1 and not training.trials:
        yield problem(
            f"{where}, trials",
            f"at least {len(names)}, one for each candidate",
            "0",
            "Trials decide between candidates: allow some, or name one candidate.",
        )


def _candidate(candidate: Candidate, where: str) -> Iterator[Problem]:
    if not NAME.fullmatch(candidate.name):
        yield problem(
            where,
            "lower-case words joined by single underscores",
            repr(candidate.name),
            "Rename it: the name identifies its trials.",
        )
    for name, space in candidate.space.items():
        if found := space.problem():
            yield problem(
                f"{where}, parameter {name!r}", "a space to search", found, "Correct its bounds."
            )
    if unknown := unknown_parameters(candidate.build, candidate.space):
        yield problem(
            where,
            f"parameters that {candidate.build.__name__} takes",
            f"also {', '.join(unknown)}",
            "Add them to the function, each with a default: build(columns, seed, depth=3).",
        )


def _search(training: Training, where: str) -> Iterator[Problem]:
    if training.trials < 0:
        yield problem(f"{where}, trials", "0 or more", str(training.trials), "0 searches nothing.")
    if not training.searches:
        return
    split, count = training.split, len(training.candidates)
    if training.trials < count:
        yield problem(
            f"{where}, trials",
            f"at least {count}, one for each candidate",
            str(training.trials),
            "Allow more trials, or name fewer candidates.",
        )
    if split.validation_days < LEAST_VALIDATION_DAYS:
        yield problem(
            f"{where}, split",
            f"validation_days of at least {LEAST_VALIDATION_DAYS}, to judge trials on",
            str(split.validation_days),
            "Declare ForwardTime(test_days=..., validation_days=...), or trials=0 for no search.",
        )
    elif not 1 <= split.folds <= split.validation_days:
        yield problem(
            f"{where}, split",
            f"from 1 to {split.validation_days} folds, a validation day each at least",
            str(split.folds),
            "Two to four are usual: each is one more fit of every trial.",
        )
    if not training.cpu_seconds > 0:
        yield problem(
            f"{where}, cpu_seconds",
            "more than 0 CPU seconds",
            str(training.cpu_seconds),
            "It is what all trials together may use.",
        )
    if not 1 <= training.tuning_tasks <= min(MOST_TUNING_TASKS, max(1, training.trials)):
        yield problem(
            f"{where}, tuning_tasks",
            f"from 1 to {min(MOST_TUNING_TASKS, max(1, training.trials))}",
            str(training.tuning_tasks),
            "Each makes trials of its own: more than there are trials would do nothing.",
        )
