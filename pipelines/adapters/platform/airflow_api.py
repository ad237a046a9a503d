"""Airflow's public REST API: the only module that calls it."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import stamina

from pipelines.adapters.platform import airflow_home, ports
from pipelines.adapters.platform.airflow_answers import (
    Answer,
    ComponentHealth,
    Dag,
    ImportFailure,
    Question,
    Run,
    TaskRun,
    log_line,
)
from pipelines.adapters.settings import Settings
from pipelines.errors import PlatformError, Problem, ServiceUnavailable

TIMEOUT_SECONDS = 90.0
"""The first requests after a start take seconds on a loaded machine."""

PAGE = 100
"""Airflow's largest page."""

RETRY_SECONDS = 1.0
"""Pause before a question that failed inside Airflow is asked once more."""

ATTEMPTS = 4
"""Tries of a request that may be repeated, when Airflow fails to answer it."""

REPEAT_SECONDS = 120.0
"""How long a request is repeated: on SQLite Airflow fails while another's write lasts."""

LONGEST_MESSAGE = 400
"""Characters of Airflow's own message that an error repeats."""

RESTING = "awaiting_input"
"""Airflow's state of a task that waits for a person, and whose worker has let go of it."""

PERSON = ("id", "name", "mail")
"""What is told of a user."""

ANY = "~"
"""In the place of a DAG's or run's id: all of them."""


class AirflowApi:
    """A user's view of one Airflow. Close it, or use it in a ``with`` block.

    Every method raises ServiceUnavailable when Airflow does not answer, and PlatformError with
    Airflow's own message when it refuses.
    """

    def __init__(
        self,
        address: str,
        *,
        user: str = "",
        password: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.address = address
        self.user = user
        self._password = password
        self._token = ""
        # A proxy of the environment is not asked for the way to this machine's own address.
        self._client = httpx.Client(base_url=address, timeout=timeout_seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def health(self) -> tuple[ComponentHealth, ...]:
        """Ask how Airflow's components are; needs no user."""
        # Airflow answers 200 whatever the state is; only the body tells.
        content = self._send("GET", "/api/v2/monitor/health").json()
        return tuple(ComponentHealth.read(name, part) for name, part in content.items() if part)

    def warm_up(self) -> None:
        """Make Airflow build the interface its tasks use, seconds of work the first task would pay."""
        self._send("GET", "/execution/health")

    def dags(self) -> tuple[Dag, ...]:
        """List the DAGs the user may see."""
        return tuple(Dag.read(content) for content in self._pages("/api/v2/dags", "dags"))

    def import_failures(self) -> tuple[ImportFailure, ...]:
        """List the DAG files that could not be read."""
        found = self._pages("/api/v2/importErrors", "import_errors")
        return tuple(ImportFailure.read(content) for content in found)

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run; Airflow keeps a new one paused."""
        for attempt in _attempts():
            with attempt:
                self._ask("PATCH", f"/api/v2/dags/{quote(dag_id)}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> Run:
        """Start a run that has no logical date, once, also when Airflow's answer is lost."""
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}

        @stamina.retry(on=ServiceUnavailable, attempts=ATTEMPTS, timeout=None)
        def start() -> Run:
            if run_id in self._run_ids(dag_id):
                return self.run(dag_id, run_id)
            path = f"/api/v2/dags/{quote(dag_id)}/dagRuns"
            return Run.read(self._ask("POST", path, json=body))

        return start()

    def run(self, dag_id: str, run_id: str) -> Run:
        """Look up one run."""
        return Run.read(self._ask("GET", _run_path(dag_id, run_id)))

    def task_runs(self, dag_id: str, run_id: str) -> tuple[TaskRun, ...]:
        """List the tasks of a run, each mapped one by itself."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances"
        return tuple(TaskRun.read(content) for content in self._pages(path, "task_instances"))

    def log_text(self, task: TaskRun, try_number: int | None = None) -> str:
        """Read the log of a task's last try, or of try ``try_number``."""
        path = (
            f"{_run_path(task.dag_id, task.run_id)}/taskInstances/{quote(task.task_id)}"
            f"/logs/{try_number or task.try_number}"
        )
        asked = {"full_content": "true", "map_index": task.map_index}
        lines = self._ask("GET", path, params=asked)["content"]
        return "\n".join(line if isinstance(line, str) else log_line(line) for line in lines)

    def questions(self, dag_id: str = ANY, run_id: str = ANY) -> tuple[Question, ...]:
        """List the tasks that wait for a person's answer.

        A question is seen before its task has come to rest, and an answer that early is lost: so
        only those at rest are listed. Even so an answer within a second or two may cost the try,
        whose retry asks again.
        """
        path = f"{_run_path(dag_id, run_id)}/hitlDetails"
        found = self._pages(path, "hitl_details", response_received="false")
        resting = (c for c in found if c["task_instance"]["state"] == RESTING)
        return tuple(Question.read(content) for content in resting)

    def answers(self, dag_id: str, task_id: str, run_id: str = ANY) -> tuple[Answer, ...]:
        """List what was answered to the questions of a task, in one run or in all."""
        path = f"{_run_path(dag_id, run_id)}/hitlDetails"
        found = self._pages(path, "hitl_details", task_id=task_id, response_received="true")
        read = (Answer.read(content) for content in found)
        return tuple(answer for answer in read if answer is not None)

    def question(self, dag_id: str, run_id: str, task_id: str) -> Question | None:
        """Look up what a task asks or asked, answered or not; None when it never did."""
        path = f"{_run_path(dag_id, run_id)}/hitlDetails"
        found = next(self._pages(path, "hitl_details", task_id=task_id), None)
        return Question.read(found) if found is not None else None

    def answer(
        self, question: Question, *options: str, form: Mapping[str, Any] | None = None
    ) -> None:
        """Choose among the options of a question, as this user; once, also when Airflow's answer is lost."""
        path = (
            f"{_run_path(question.dag_id, question.run_id)}/taskInstances"
            f"/{quote(question.task_id)}/{question.map_index}/hitlDetails"
        )
        filled = {**question.fixed, **(form or {})}
        body = {"chosen_options": list(options), "params_input": filled}
        for attempt in _attempts():
            with attempt:
                if attempt.num == 1 or not self._has_said(question, options):
                    self._ask("PATCH", path, json=body)

    def people(self, role: str) -> tuple[dict[str, str], ...]:
        """List id, name and mail of FAB's users with a role; for the platform's own user alone.

        Airflow's own API tells no user's id. Headframe's plugin in Airflow does.
        """
        found = self._ask("GET", "/headframe/people", params={"role": role})["people"]
        return tuple({part: str(person[part]) for part in PERSON} for person in found)

    def _has_said(self, question: Question, options: tuple[str, ...]) -> bool:
        """Tell whether Airflow has this answer of this user already."""
        said = self.answers(question.dag_id, question.task_id, question.run_id)
        return any(
            (one.question.map_index, one.user_name, one.chosen)
            == (question.map_index, self.user, options)
            for one in said
        )

    def _run_ids(self, dag_id: str) -> set[str]:
        runs = self._pages(f"/api/v2/dags/{quote(dag_id)}/dagRuns", "dag_runs")
        return {content["dag_run_id"] for content in runs}

    def _pages(self, path: str, key: str, **parameters: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            asked = {**parameters, "limit": PAGE, "offset": offset}
            page = self._ask("GET", path, params=asked)
            yield from page[key]
            offset += PAGE
            if offset >= page["total_entries"]:
                return

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
    ) -> dict[str, Any]:
        """Send a request as the user, with a new token when the old one ran out."""
        for attempt in ("known token", "new token"):
            if not self._token or attempt == "new token":
                self._token = self._new_token()
            bearer = {"Authorization": f"Bearer {self._token}"}
            response = self._client_send(method, path, params=params, json=json, headers=bearer)
            if method == "GET" and response.is_server_error:
                time.sleep(RETRY_SECONDS)
                response = self._client_send(method, path, params=params, json=json, headers=bearer)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                break
        self._refuse(response)
        answer: dict[str, Any] = response.json()
        return answer

    def _new_token(self) -> str:
        body = {"username": self.user, "password": self._password}
        return str(self._send("POST", "/auth/token", json=body).json()["access_token"])

    def _send(self, method: str, path: str, *, json: object = None) -> httpx.Response:
        response = self._client_send(method, path, params=None, json=json, headers={})
        self._refuse(response)
        return response

    def _client_send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None,
        json: object,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        try:
            return self._client.request(method, path, params=params, json=json, headers=headers)
        except httpx.TransportError as error:
            raise self._unavailable(type(error).__name__) from None

    def _refuse(self, response: httpx.Response) -> None:
        """Turn an answer that is not a success into an error."""
        status = response.status_code
        if response.is_success:
            return
        if response.is_server_error or status == httpx.codes.TOO_MANY_REQUESTS:
            raise self._unavailable(f"status {status}")
        raise PlatformError(
            Problem(
                where=f"Airflow's {response.request.method} {response.request.url.path}",
                expected=f"user '{self.user}' to be allowed and the request to fit",
                found=f"{status} {_message(response)}".strip(),
                fix=_FIXES.get(status, "Correct the request."),
            )
        )

    def _unavailable(self, found: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            Problem(
                where=f"Airflow at {self.address}",
                expected="an answer",
                found=found,
                fix="See `headframe status`; start it with `headframe up`.",
            )
        )


def _attempts() -> Iterator[stamina.Attempt]:
    """Return tries of a request, the next one where Airflow failed to answer the one before."""
    return iter(
        stamina.retry_context(on=ServiceUnavailable, attempts=ATTEMPTS, timeout=REPEAT_SECONDS)
    )


def connect(settings: Settings, *, user: str = "operator") -> AirflowApi:
    """Connect to the running Airflow of this home as one of its users.

    It is where HEADFRAME_AIRFLOW says, else on this machine.
    """
    known = ports.read(settings.root)
    address = airflow_home.airflow_address(settings, known) if known else settings.airflow
    password = airflow_home.password(settings, user)
    if not address or not password:
        raise PlatformError(
            Problem(
                where=str(settings.root),
                expected=f"a home that was started before and has the user '{user}'",
                found="no password for that user" if address else "no ports",
                fix="Run `headframe up`, or name a user of users.toml.",
            )
        )
    return AirflowApi(address.rstrip("/"), user=user, password=password)


_FIXES = {
    401: "Log in with a user and password of airflow/passwords.json.",
    403: "Ask a user whose role may do this.",
    404: "Check the name; a new DAG file is known after about fifteen seconds.",
    409: "Look at its present state: somebody else was first.",
}


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='~')}"


def _message(response: httpx.Response) -> str:
    """Find Airflow's own words in an answer; never what was sent, which may hold a password."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    if isinstance(detail, list):
        detail = "; ".join(f"{part.get('loc')}: {part.get('msg')}" for part in detail)
    elif isinstance(detail, dict):
        detail = detail.get("message") or detail.get("reason") or ""
    return " ".join(str(detail).split())[:LONGEST_MESSAGE]
