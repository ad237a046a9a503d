"""Airflow's own API, served from this process: what tasks ask to see a person's answer."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "of-these-tests"  # noqa: S105 - of these tests

READY_SECONDS = 120


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """Serve the API of the configured Airflow; yield its address.

    Its users are those of ``SIMPLE_AUTH_MANAGER_USERS``, each with the same password.
    """
    import uvicorn
    from airflow.api_fastapi.app import create_app, purge_cached_app
    from airflow.configuration import conf

    users = [
        user.split(":")[0] for user in conf.get("core", "simple_auth_manager_users").split(",")
    ]
    (root / "passwords.json").write_text(json.dumps(dict.fromkeys(users, PASSWORD)))
    (root / "password").write_text(PASSWORD)
    configured = uvicorn.Config(
        create_app(apps="core"), host="127.0.0.1", port=0, log_level="error"
    )
    server = uvicorn.Server(configured)
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + READY_SECONDS
    try:
        while not server.started:
            assert thread.is_alive(), "Airflow's API ended while it started"
            assert time.monotonic() < deadline, "Airflow's API did not start"
            time.sleep(0.05)
        (listening,) = server.servers
        port = listening.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        purge_cached_app()
