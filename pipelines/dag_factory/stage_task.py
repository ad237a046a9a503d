"""Stage tasks: operators that run one stage, and fail or retry by the type of its error."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from airflow.utils.deprecation_tools import DeprecatedImportWarning

from pipelines.dag_factory.runs import Context
from pipelines.dag_factory.task_costs import measured_task
from pipelines.errors import HeadframeError

FAILURE = "failure"
"""XCom key under which a failed try leaves its reason, for the run's failure message."""

FAILURE_ABOUT = "failure_about"
"""XCom key under which it leaves what the reason is about, as a list."""

logger = logging.getLogger(__name__)


class StageTask(BaseOperator):  # type: ignore[misc]  # Airflow is untyped here
    """Run ``work``; what it returns is the task's return value."""

    shallow_copy_attrs = ("work",)
    work: Callable[[Context], Any]

    def _hook_apply_defaults(
        self,
        *,
        work: Callable[[Context], Any],
        **options: Any,  # noqa: ANN401 - Airflow's own options
    ) -> tuple[tuple[()], dict[str, Any]]:
        """Keep ``work`` and give Airflow's constructor the rest, as Airflow asks before it runs.

        A constructor of ours around it would cost: for each on the way, Airflow copies the DAG's form
        and merges the defaults anew.
        """
        object.__setattr__(self, "work", work)  # Airflow's own setattr needs a constructed task
        return (), options

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - whatever the stage says
        """Run the work once; errors decide by their type whether Airflow tries again.

        What the try used is noted, however it ends.
        """
        with failing_by_type(context), _without_noise():
            return measured_task(context, lambda: self.work(context))


class ModelTask(StageTask):
    """A stage task about one MLflow run, named by ``run_id`` in its return value."""


class EvidenceTask(ModelTask):
    """The model task that judges; ``page`` and ``run_page`` of what it returns say where that is told."""


class ReportTask(StageTask):
    """A stage task about one page, named by ``page`` in its return value, below ``reports``."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PartWork:
    """What every part task of a DAG does. Airflow writes it down by its name alone."""

    name: str
    do: Callable[[Context, int], Any]

    def __repr__(self) -> str:
        return self.name


class PartTask(StageTask):
    """A stage task that does part number ``part`` of the work; mapped, one task for each number."""

    def __init__(self, *, work: PartWork, part: int, **options: Any) -> None:  # noqa: ANN401 - Airflow's own options
        super().__init__(work=partial(_do_part, work, part), **options)
        self.part = part

    def _hook_apply_defaults(self, **options: Any) -> tuple[tuple[()], dict[str, Any]]:  # noqa: ANN401 - as above
        """Leave its own constructor what it asks for; Airflow's then gets ``work`` alone."""
        if "part" in options:
            return (), options
        return super()._hook_apply_defaults(**options)


def say(text: str) -> str:
    """Log ``text``, a line each, and return it."""
    for line in text.splitlines():
        logger.info("%s", line)
    return text


@contextmanager
def failing_by_type(context: Context) -> Iterator[None]:
    """Turn an error into Airflow's answer to it, with the reason kept for the failure message.

    A HeadframeError fails the task at once unless it is retryable, and the log shows its text
    alone. Anything else is a fault: it keeps its stack, and Airflow tries again.
    """
    try:
        yield
    except AirflowException:
        raise
    except HeadframeError as error:
        _keep(context, FAILURE, str(error))
        _keep(context, FAILURE_ABOUT, list(error.about))
        kind = AirflowException if error.retryable else AirflowFailException
        raise kind(str(error)) from None
    except Exception as error:
        # Only the type: the text of an unforeseen error may quote a row.
        _keep(context, FAILURE, f"{type(error).__name__}; its text is in the task's log.")
        raise


def _do_part(work: PartWork, part: int, context: Context) -> Any:  # noqa: ANN401 - whatever the stage says
    return work.do(context, part)


@contextmanager
def _without_noise() -> Iterator[None]:
    """Keep out of the task's log what no reader needs."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # skops asks every loaded module for NumPy's functions, and Airflow's renamed ones answer.
        warnings.simplefilter("ignore", DeprecatedImportWarning)
        yield


def _keep(context: Context, key: str, value: object) -> None:
    try:
        context["ti"].xcom_push(key, value)
    except Exception:  # noqa: BLE001 - the error being reported matters more
        logger.warning("The reason could not be kept for the failure message.")
