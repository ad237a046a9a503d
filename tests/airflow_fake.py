"""A fake of Airflow's REST API: the questions of one use case's train DAG, their answers and runs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from pipelines.adapters.platform import airflow_home
from pipelines.adapters.platform.ports import Ports
from pipelines.adapters.settings import Settings

DAG = "machines__train"
ANSWERED_AT = datetime(2026, 2, 20, 13, tzinfo=UTC)


@dataclass
class FakeAirflow:
    """What Airflow knows. ``details`` are its HITL details, ``started_by`` the user of each run."""

    details: list[dict[str, Any]] = field(default_factory=list)
    started_by: dict[str, str | None] = field(default_factory=dict)
    people: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    asked_as: list[str] = field(default_factory=list)

    def answered(
        self,
        digest: str,
        *,
        by: str = "ann",
        chosen: str = "Approve",
        at: datetime | None = ANSWERED_AT,
        run_id: str = "manual__1",
        started_by: str | None = "sam",
        user_id: str = "",
        form: dict[str, str] | None = None,
        body: str = "",
    ) -> None:
        """Keep a question about some evidence and its answer; ``at`` None: none yet."""
        self.started_by[run_id] = started_by
        said = {"why": "looked at it", "evidence": digest} if form is None else form
        self.details.append(
            {
                "task_instance": {
                    "dag_id": DAG,
                    "dag_run_id": run_id,
                    "task_id": "approve",
                    "map_index": -1,
                    "state": "success" if at else "awaiting_input",
                },
                "subject": "Promote machines version 1?",
                "body": body,
                "options": ["Approve", "Reject"],
                "params": {
                    "why": {"value": "", "schema": {"type": ["null", "string"]}},
                    "evidence": {"value": digest, "schema": {"type": "string", "const": digest}},
                },
                "assigned_users": [{"id": by, "name": by}],
                "responded_by_user": {"id": user_id or by, "name": by} if at else None,
                "responded_at": at.isoformat() if at else None,
                "chosen_options": [chosen] if at else None,
                "params_input": said if at else {},
            }
        )


@contextmanager
def airflow_of(settings: Settings) -> Iterator[FakeAirflow]:
    """Serve a fake Airflow that the home finds, as if ``headframe up`` had started it."""
    fake = FakeAirflow()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.asked_as.append(body["username"])
            right = body["password"] == "secret"  # noqa: S105 - of this fake
            self._say(
                {"access_token": "token"} if right else {"detail": "no"}, 201 if right else 401
            )

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            if path == "/headframe/people":
                role = parts.query.removeprefix("role=")
                self._say({"people": fake.people.get(role, [])})
            elif path.endswith("/hitlDetails"):
                dag_id, run_id = path.split("/")[4], path.split("/")[6]
                answered = "response_received=true" in parts.query
                found = [
                    detail
                    for detail in fake.details
                    if detail["task_instance"]["dag_id"] == dag_id
                    and run_id in ("~", detail["task_instance"]["dag_run_id"])
                    and (detail["responded_at"] or not answered)
                ]
                self._say({"hitl_details": found, "total_entries": len(found)})
            else:
                run_id = path.split("/")[-1]
                self._say(
                    {
                        "dag_id": DAG,
                        "dag_run_id": run_id,
                        "state": "running",
                        "conf": {},
                        "triggering_user_name": fake.started_by[run_id],
                        "start_date": None,
                        "end_date": None,
                    }
                )

        def _say(self, content: dict[str, Any], status: int = 200) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its own name
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    found_by(settings, server.server_port)
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def found_by(settings: Settings, port: int) -> None:
    """Write into a home what ``headframe up`` leaves there: the port, and the platform's password."""
    ports = Ports(airflow=port, mlflow=1, worker_logs=2, triggerer_logs=3)
    folder = settings.root / "run"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ports.json").write_text(json.dumps({n: getattr(ports, n) for n in Ports.__slots__}))
    home = airflow_home.airflow_folder(settings)
    home.mkdir(parents=True, exist_ok=True)
    (home / "passwords.json").write_text(json.dumps({"headframe": "secret"}))
