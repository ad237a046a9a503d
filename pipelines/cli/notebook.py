"""Notebook: what a data scientist calls from Python, on the same stages as Airflow's."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.adapters.settings import Settings
from pipelines.cli.declared import declared_use_case
from pipelines.cli.hand_training import train_by_hand
from pipelines.cli.stage_options import refuse_to_come
from pipelines.cli.stage_runs import moment
from pipelines.domain.contract_problems import near
from pipelines.domain.training import Asked
from pipelines.errors import Problem, SettingsError
from pipelines.use_case import UseCase, load_all

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.stages.train import Trained


def read(table: str, *, as_of: datetime | str = "") -> "pd.DataFrame":
    """Return a table's rows as they were known at ``as_of`` (now when empty), one a key.

    ``table`` is a declared name such as "schedule", or "flight_delays.schedule" where several use
    cases have one. ``as_of`` without an offset is local to the use case. Raises SettingsError for a
    table that nobody declares.
    """
    from pipelines.adapters import lake
    from pipelines.domain.features import KnownTables

    settings = Settings()
    use_case, name = _declared(settings, table)
    declared = use_case.table(name)
    known = KnownTables(lake.versions(settings, use_case.name, [declared]), [declared], None)
    known.cut(_moment(as_of, use_case))
    frame: pd.DataFrame = known.sql(f'select * from "{name}"').to_arrow_table().to_pandas()  # noqa: S608 - a declared name
    return frame


def training_rows(
    use_case: str, *, as_of: datetime | str = "", window_days: int | None = None
) -> "pd.DataFrame":
    """Return the feature rows, with their label, that a training at ``as_of`` learns from.

    Held-out rows are not among them: what was looked at cannot judge any more. Raises NotEnoughData
    as the training would, and SettingsError for an ``as_of`` that has not come.
    """
    from pipelines.stages.train import rows

    settings = Settings()
    declared = declared_use_case(settings, use_case)
    found = rows(
        declared,
        settings,
        as_of=_past(as_of, declared, "training_rows"),
        asked=Asked(window_days=window_days),
    )
    frame: pd.DataFrame = found.to_pandas()
    return frame


def train(
    use_case: str,
    *,
    as_of: datetime | str = "",
    candidates: Sequence[str] = (),
    window_days: int | None = None,
    trials: int | None = None,
    reason: str = "",
) -> "Trained":
    """Search, fit and register a challenger here and now; a line a trial is printed.

    It is the training that Airflow runs: the same time, rows and code return the same candidate,
    whoever trained it first. What a run on schedule would stop for is printed first, and stops
    nothing. Raises HeadframeError with what stands in the way: a month's budget that is spent, too.
    """
    settings = Settings()
    declared = declared_use_case(settings, use_case)
    time = _past(as_of, declared, "train")
    return train_by_hand(
        declared,
        settings,
        as_of=time,
        run=f"notebook__{time.isoformat()}",
        asked=Asked(
            candidates=tuple(candidates), window_days=window_days, trials=trials, reason=reason
        ),
        told=_write,
        warned=_write,
    )


def _declared(settings: Settings, table: str) -> tuple[UseCase, str]:
    """Return the one use case that declares a table, and the table's own name."""
    found, _ = load_all(settings.dags.absolute())
    wanted, _, name = table.rpartition(".")
    owners = [
        use_case
        for use_case in found.values()
        if wanted in ("", use_case.name) and name in {one.name for one in use_case.tables}
    ]
    if len(owners) == 1:
        return owners[0], name
    names = tuple(
        f"{use_case.name}.{one.name}" for use_case in found.values() for one in use_case.tables
    )
    several = ", ".join(f"{use_case.name}.{name}" for use_case in owners)
    raise SettingsError(
        Problem(
            where=f"headframe.read({table!r})",
            expected="a table of one use case",
            found=several
            or f"none of that name{near(table, (*names, *(n.split('.')[1] for n in names)))}",
            fix="Write use_case.table; `headframe list` shows what there is, and HEADFRAME_DAGS where "
            "use cases are looked for.",
        )
    )


def _moment(as_of: datetime | str, use_case: UseCase) -> datetime:
    if not as_of:
        return datetime.now(UTC)
    return moment(as_of if isinstance(as_of, str) else as_of.isoformat(), use_case)


def _past(as_of: datetime | str, use_case: UseCase, name: str) -> datetime:
    """Return the moment asked for. Raises SettingsError for one that has not come."""
    asked = _moment(as_of, use_case)
    fix = "Correct the year or the day, or leave it out."
    refuse_to_come(asked, where=f"headframe.{name}, as_of", fix=fix)
    return asked


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
