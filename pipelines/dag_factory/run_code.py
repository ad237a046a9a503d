"""The code of a run: the same from the first task to the last, retries included."""

from collections.abc import Mapping
from typing import Any

from pipelines.adapters.models import code_archive
from pipelines.adapters.settings import Settings
from pipelines.dag_factory.runs import Context
from pipelines.errors import CodeChanged, Problem
from pipelines.use_case import UseCase


def remember_code(settings: Settings, use_case: UseCase, context: Context) -> str:
    """Return the code's digest, kept at the first try. Raises CodeChanged on a retry that differs.

    A person who clears the task may well have mended the code: then it is kept anew.
    """
    key = f"code_{tries_key(context)}"
    digest = code_archive.code_digest(settings, use_case.name)
    kept = context["task_state_store"].get(key)
    if kept is None:
        context["task_state_store"].set(key, digest)
    elif kept != digest:
        raise _changed(use_case, context["ti"].dag_id, str(kept), digest)
    return digest


def tries_key(context: Context) -> str:
    """Return a name that all automatic tries of a task share; clearing the task makes a new one."""
    # Airflow raises max_tries when a person clears a task, and at no other time.
    return f"tries_up_to_{context['ti'].max_tries}"


def refuse_changed_code(
    settings: Settings, use_case: UseCase, first: Mapping[str, Any], *, purpose: str = "train"
) -> None:
    """Raise CodeChanged unless the code is still what the run's first task returned."""
    digest = code_archive.code_digest(settings, use_case.name)
    if digest != first["code"]:
        raise _changed(use_case, f"{use_case.name}__{purpose}", first["code"], digest)


def _changed(use_case: UseCase, dag_id: str, began_with: str, found: str) -> CodeChanged:
    return CodeChanged(
        Problem(
            where=f"run of {dag_id}",
            expected=f"the code it began with ({began_with[:12]})",
            found=f"code {found[:12]}",
            fix=f"dags/{use_case.name}.py, its suites or the library changed in between: "
            "start a new run, or clear this one from its first task.",
        )
    )
