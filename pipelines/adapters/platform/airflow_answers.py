"""Airflow answers: what its REST API says, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentHealth:
    """One of Airflow's components as its own monitor sees it."""

    name: str
    healthy: bool
    heartbeat: datetime | None
    """UTC; None for the database, and for a component that never ran."""

    @classmethod
    def read(cls, name: str, content: Mapping[str, Any]) -> Self:
        """Read one from Airflow's JSON."""
        return cls(
            name=name,
            healthy=content.get("status") == "healthy",
            heartbeat=_time(content.get(f"latest_{name}_heartbeat")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dag:
    """A DAG that Airflow has read."""

    dag_id: str
    paused: bool
    tags: tuple[str, ...]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read one from Airflow's JSON."""
        tags = tuple(tag["name"] for tag in content["tags"])
        return cls(dag_id=content["dag_id"], paused=content["is_paused"], tags=tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFailure:
    """A DAG file that Airflow could not read."""

    file: str
    message: str

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read one from Airflow's JSON."""
        return cls(file=content["filename"], message=content["stack_trace"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A DAG run. ``state`` is queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str
    conf: Mapping[str, Any]
    asked_for_by: str
    """The user who started it; empty when it started itself."""
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.state in {"success", "failed"}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read one from Airflow's JSON."""
        return cls(
            dag_id=content["dag_id"],
            run_id=content["dag_run_id"],
            state=content["state"],
            conf=content["conf"] or {},
            asked_for_by=content.get("triggering_user_name") or "",
            started_at=_time(content["start_date"]),
            ended_at=_time(content["end_date"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One task of a run, in Airflow's words a task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    """Empty before the scheduler looked at it."""
    try_number: int
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read one from Airflow's JSON."""
        return cls(
            dag_id=content["dag_id"],
            run_id=content["dag_run_id"],
            task_id=content["task_id"],
            map_index=content["map_index"],
            state=content["state"] or "",
            try_number=content["try_number"],
            started_at=_time(content["start_date"]),
            ended_at=_time(content["end_date"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A task that waits for a person, in Airflow's words a HITL detail."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    subject: str
    body: str
    options: tuple[str, ...]
    assigned_users: tuple[str, ...]
    """Ids of who may answer; empty means anybody who may edit the DAG."""
    fixed: Mapping[str, Any]
    """Fields of its form whose value is fixed; an answer repeats them."""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Read one from Airflow's JSON."""
        task = content["task_instance"]
        return cls(
            dag_id=task["dag_id"],
            run_id=task["dag_run_id"],
            task_id=task["task_id"],
            map_index=task["map_index"],
            subject=content["subject"],
            body=content["body"] or "",
            options=tuple(content["options"]),
            assigned_users=tuple(user["id"] for user in content["assigned_users"]),
            fixed={
                name: field["value"]
                for name, field in content["params"].items()
                if "const" in field["schema"] and field["schema"]["const"] == field["value"]
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person said to a question. Airflow takes one, and lets nobody change it."""

    question: Question
    user_id: str
    """Airflow's own; empty when a time limit answered."""
    user_name: str
    chosen: tuple[str, ...]
    form: Mapping[str, Any]
    at: datetime

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self | None:
        """Read one from Airflow's JSON; None while there is none."""
        at = _time(content["responded_at"])
        if at is None:
            return None
        user = content["responded_by_user"] or {"id": "", "name": ""}
        return cls(
            question=Question.read(content),
            user_id=user["id"],
            user_name=user["name"],
            chosen=tuple(content["chosen_options"] or ()),
            form=content["params_input"] or {},
            at=at,
        )


def log_line(line: Mapping[str, Any]) -> str:
    """Write a structured log record as one line of text."""
    errors = line.get("error_detail") or ()
    raised = [f"{error.get('exc_type')}: {error.get('exc_value')}" for error in errors]
    words = [line.get("timestamp"), line.get("level"), line.get("event"), *raised]
    return " ".join(str(word) for word in words if word)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
