"""The declaration of a use case, its one loader, and its digest."""

import difflib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pipelines.adapters.shared_modules import modules_of, shared_files
from pipelines.declaration_problems import problems_of
from pipelines.domain.budget import Budget
from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.contract import Column, DeltaFolder, Files, Query, Table
from pipelines.domain.digest import DIGESTED_IF_SET, NOT_DIGESTED, digest_of
from pipelines.domain.evidence import Evidence
from pipelines.domain.expected_value import Value
from pipelines.domain.features import FeatureView, KnownTables, features
from pipelines.domain.gates.beats_baseline import BeatsBaseline
from pipelines.domain.gates.beats_champion import BeatsChampion
from pipelines.domain.gates.calibrated import Calibrated
from pipelines.domain.gates.compatible_signature import CompatibleSignature
from pipelines.domain.gates.fresh_data import FreshData
from pipelines.domain.gates.no_leakage import NoLeakage
from pipelines.domain.gates.no_worse_on_segment import NoWorseOnSegment
from pipelines.domain.gates.reproducible import Reproducible
from pipelines.domain.gates.stable_across_seeds import StableAcrossSeeds
from pipelines.domain.gates.within_budget import WithinBudget
from pipelines.domain.labels import Label
from pipelines.domain.monitoring import Monitoring
from pipelines.domain.outputs import CsvFile, Output, ParquetFile, PostgresTable, TopN
from pipelines.domain.probation import Probation
from pipelines.domain.promises import ArrivesBy, PredictionRange, Promise
from pipelines.domain.retraining import Retraining
from pipelines.domain.scoring_times import ScoringTimes, Weekday
from pipelines.domain.search_space import Choice, IntUniform, LogUniform, Uniform
from pipelines.domain.training import Candidate, FeatureColumns, Training
from pipelines.domain.verdict import Verdict
from pipelines.domain.weights import ByColumn, Recent
from pipelines.domain.windows import ForwardTime, Sliding
from pipelines.errors import DeclarationError, HeadframeError, Problem

__all__ = [
    "ArrivesBy", "BeatsBaseline", "BeatsChampion", "Budget", "BusinessRule", "ByColumn", "Calibrated",
    "Candidate", "Choice", "Column", "CompatibleSignature", "CsvFile", "DeltaFolder",
    "FeatureColumns", "Files", "ForwardTime", "FreshData", "Gate", "IntUniform", "KnownTables",
    "Label", "LogUniform", "Monitoring", "NoLeakage", "NoWorseOnSegment", "ParquetFile",
    "PostgresTable", "PredictionRange", "Probation", "Query", "Recent", "Reproducible", "Retraining",
    "Roles", "Scoring", "Sliding", "StableAcrossSeeds", "Table", "TopN", "TrainedUseCase", "Training",
    "Uniform", "UseCase", "Value", "WithinBudget", "features", "load", "load_all",
]  # fmt: skip

_loading: ContextVar[bool] = ContextVar("loading", default=False)


@runtime_checkable
class Gate(Protocol):
    """Anything that judges evidence."""

    def judge(self, evidence: Evidence) -> Verdict:
        """Return the verdict; never raises for poor evidence."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The Headframe role that may do each kind of work; users get roles in ``users.toml``."""

    data_engineer: str = "data_engineer"
    data_scientist: str = "data_scientist"
    approver: str = "approver"
    operator: str = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """When predictions are made, for the entities until the next time: daily, or every ``weekday``.

    ``at`` is a local time of ``timezone``.

    ``on_stale`` says what happens when a table is older than it promised: predictions are made and
    flagged, or none are made. ``on_late`` says what happens to the windows of the last
    ``rescore_days`` days when data comes late: they are scored again, or kept as they are.
    ``rules`` change what the model says, in order; ``promises`` are kept or nothing is published;
    ``outputs`` are what consumers get of each window. ``parts`` is how many tasks a large window is
    spread over; it changes no prediction, so it is no part of the declaration's digest.
    """

    at: time
    timezone: str = "UTC"
    on_stale: Literal["score_and_flag", "fail_closed"] = "score_and_flag"
    on_late: Literal["rescore", "keep"] = "rescore"
    rescore_days: int = 7
    parts: int = field(default=1, metadata=NOT_DIGESTED)
    rules: Sequence[BusinessRule] = ()
    outputs: Sequence[Output] = ()
    promises: Sequence[Promise] = ()
    weekday: Weekday | None = field(default=None, metadata=DIGESTED_IF_SET)

    @property
    def times(self) -> ScoringTimes:
        """Return the moments at which is scored."""
        return ScoringTimes(at=self.at, timezone=self.timezone, weekday=self.weekday)


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """One use case, whole: tables and contracts, features, label, training, gates, scoring.

    Tier "explore" needs tables only; "scheduled" adds training and scoring, promoted by the gates
    alone; "governed" adds a person's approval and, unless ``probation`` says otherwise, a probation
    of every champion after the first. ``ends_before`` is the ISO date from which nothing
    runs on schedule any more (for data that ends); runs by hand stay possible. ``budget`` is what a
    month may cost; it changes no model and no prediction.
    """

    name: str
    owner: str
    tables: Sequence[Table]
    purpose: str = ""
    tier: Literal["explore", "scheduled", "governed"] = "explore"
    ingest_schedule: str = "*/15 * * * *"
    roles: Roles = field(default_factory=Roles)
    features: FeatureView | None = None
    label: Label | None = None
    training: Training | None = None
    gates: Sequence[Gate] = ()
    scoring: Scoring | None = None
    monitoring: Monitoring = field(default_factory=Monitoring)
    retraining: Retraining = field(default_factory=Retraining)
    probation: Probation | None = field(default=None, metadata=DIGESTED_IF_SET)
    approval_expires: timedelta = timedelta(days=7)
    ends_before: str | None = None
    budget: Budget | None = field(default=None, metadata=DIGESTED_IF_SET)

    def problems(self) -> list[Problem]:
        """Return everything that is wrong with the declaration; empty when it is sound."""
        return problems_of(self)

    @property
    def probation_rule(self) -> Probation | None:
        """The rule of a new champion's probation, its loss named; None where there is none.

        Left out, it is the usual one in tier "governed", and none in others.
        """
        rule = self.probation
        if rule is None and self.tier == "governed":
            rule = Probation()
        if rule is None or rule.blocks == 0 or self.label is None:
            return None
        return replace(rule, loss=rule.loss or self.label.kind.loss)

    def digest(self) -> str:
        """Return the declaration's identity: its data, canonical; code has a digest of its own."""
        return digest_of(self)

    def prediction_digest(self) -> str:
        """Return the identity of what a prediction row takes from the declaration itself.

        What counts: the entity's key; the column of a ranking's value; of each business rule its
        name, ``when`` and ``then``, in their order; when the tables of the feature view count as
        stale, which rows tell. Feature rows and model have identities of their own, a window is
        named by its scoring time, and whom predictions reach, under which promise, is in no row.
        Raises DeclarationError when the tier is "explore".
        """
        parts = TrainedUseCase.of(self)
        value = parts.label.value
        return digest_of(
            {
                **({} if value is None else {"value": value.column}),
                "key": parts.features.entity.key,
                "rules": [(rule.name, rule.when, rule.then) for rule in parts.scoring.rules],
                "due": [
                    (t.name, t.arrives_by, t.arrives_timezone, t.arrives_every, t.grace)
                    for t in parts.features.tables
                ],
            }
        )

    def table(self, name: str) -> Table:
        """Return the table called ``name``. Raises KeyError."""
        return {table.name: table for table in self.tables}[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedUseCase:
    """The parts that every tier above "explore" declares, none of them missing."""

    name: str
    features: FeatureView
    label: Label
    training: Training
    scoring: Scoring

    @classmethod
    def of(cls, use_case: UseCase) -> "TrainedUseCase":
        """Return the parts. Raises DeclarationError when the tier is "explore"."""
        view, label, training = use_case.features, use_case.label, use_case.training
        if view is None or label is None or training is None or use_case.scoring is None:
            raise DeclarationError(
                Problem(
                    where=f"use case {use_case.name!r}",
                    expected="features, label, training and scoring",
                    found=f"tier {use_case.tier!r}, which has tables only",
                    fix="Set tier='scheduled' or 'governed' and declare them.",
                )
            )
        return cls(
            name=use_case.name,
            features=replace(view, block=use_case.scoring.times.block),
            label=label,
            training=training,
            scoring=use_case.scoring,
        )


@contextmanager
def loading() -> Iterator[None]:
    """Mark a use-case file as being read outside Airflow."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def is_loading() -> bool:
    """Tell whether a use-case file is being read outside Airflow, where no DAG is wanted."""
    return _loading.get()


def load(path: Path) -> UseCase:
    """Read the one use case of a DAG file, without Airflow.

    Raises DeclarationError with every problem, also when the file cannot be run or declares none.
    """
    if not path.is_file():
        raise DeclarationError(_unreadable(path, f"no such file{_near(path)}"))
    try:
        found = _declared(path)
        problems = [problem for use_case in found for problem in use_case.problems()]
    except HeadframeError:
        raise
    except (Exception, SystemExit) as error:
        raise DeclarationError(_unreadable(path, f"{type(error).__name__}: {error}")) from error
    if len(found) != 1:
        raise DeclarationError(_unreadable(path, f"{len(found)} use cases"))
    if found[0].name != path.stem:
        problems.append(
            Problem(
                where=f"{path.name}, name",
                expected=f"the file's own name, {path.stem!r}",
                found=repr(found[0].name),
                fix="Rename the file or the use case: one file is one use case.",
            )
        )
    if problems:
        raise DeclarationError(*problems)
    return found[0]


def load_all(folder: Path) -> tuple[dict[str, UseCase], list[HeadframeError]]:
    """Read every use-case file of ``folder``; return the sound ones by name, and the errors.

    Files whose name starts with ``platform__`` are the platform's own and hold no use case.
    """
    sound, errors = {}, []
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith(("platform__", "_")):
            continue
        try:
            sound[path.stem] = load(path)
        except HeadframeError as error:
            errors.append(error)
    return sound, errors


def _declared(path: Path) -> list[UseCase]:
    """Run the file, and return each use case it then holds once."""
    name = f"headframe_use_case_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        return []
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with loading(), modules_of(path.parent):
        # Not through the import system: its cache takes an edit within one second for none.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102 - the user's own file
    shared_files(path.parent, path.stem)  # refuses imports that say too little
    found = {id(value): value for value in vars(module).values() if isinstance(value, UseCase)}
    return list(found.values())


def _near(path: Path) -> str:
    names = [file.stem for file in path.parent.glob("*.py")]
    near = difflib.get_close_matches(path.stem, names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _unreadable(path: Path, found: str) -> Problem:
    return Problem(
        where=path.name,
        expected="a Python file that declares one UseCase",
        found=found,
        fix=f"Mend {path.name}; `headframe check` reads it again.",
    )
