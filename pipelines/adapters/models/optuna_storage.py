"""Optuna storage: where studies are kept, who may write, and what each trial is drawn from.

Import it inside functions: it imports Optuna.
"""

import fcntl
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState

from pipelines.adapters.models.studies import PLACE
from pipelines.domain.search_space import Choice, IntUniform, LogUniform, Parameter, Space

SCHEMA = "headframe_studies"
"""Schema of the studies' tables in PostgreSQL: Airflow's database has tables of the same names."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


class FileLock(BaseJournalFileLock):
    """Lets one process append to a journal; the kernel frees the lock of one that was killed.

    Optuna's own lock outlives its owner by half a minute. An entry that a crash of the machine cut
    off is taken away before the next is appended: Optuna would refuse the whole journal for it.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._file = os.open(self._journal.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        _cut_torn_entry(self._journal)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class PlacedSampler(BaseSampler):
    """Draws each trial from a seed of its own: that of the search, its candidate and its place.

    A sampler that is made once repeats its first draws in every process and after every restart.
    It searches with the tree-structured Parzen estimator (Bergstra et al., 2011) over all
    parameters together; the first ten trials are drawn at random.
    """

    def __init__(self, seed: int, candidate: str) -> None:
        self._seed, self._candidate = seed, candidate
        self._made: tuple[int, TPESampler] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are drawn together."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Draw the parameters that are drawn together."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401 - Optuna's own signature
        """Draw one parameter."""
        sampler = self._of(trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Let go of the trial's generator."""
        del study, trial, state, values
        self._made = None

    def _of(self, trial: FrozenTrial) -> TPESampler:
        if self._made is None or self._made[0] != trial.number:
            place = trial.user_attrs[PLACE]
            text = f"{self._seed}:{self._candidate}:{place}"
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
            self._made = (trial.number, TPESampler(seed=seed))
        return self._made[1]


def journal(path: Path) -> BaseStorage:
    """Return the storage in one file of this host, made when it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=FileLock(path)))


def database(url: str) -> BaseStorage:
    """Return the storage in a schema of a PostgreSQL database, made when it is missing."""
    from sqlalchemy import create_engine, make_url, text

    address = make_url(url).set(drivername="postgresql+psycopg2")
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text(f"create schema if not exists {SCHEMA}"))
    engine.dispose()
    options = {"connect_args": {"options": f"-csearch_path={SCHEMA}"}}
    return RDBStorage(address.render_as_string(hide_password=False), engine_kwargs=options)


def suggest(trial: optuna.Trial, name: str, space: Space) -> Parameter:
    """Draw a parameter of a trial, or return what it has drawn before."""
    if isinstance(space, Choice):
        drawn: Parameter = trial.suggest_categorical(name, list(space.options))
        return drawn
    if isinstance(space, IntUniform):
        return trial.suggest_int(name, space.low, space.high)
    return trial.suggest_float(name, space.low, space.high, log=isinstance(space, LogUniform))


def _cut_torn_entry(journal_file: Path) -> None:
    """Take an entry without its end away from the end of a journal."""
    with journal_file.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
