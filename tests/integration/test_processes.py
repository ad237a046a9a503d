"""Processes under a supervisor: what dies is started again, and nothing outlives its home."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import pipelines
from pipelines.adapters.platform import ports, process_logs, process_state, processes
from pipelines.adapters.platform.process_state import ChildState, SupervisorState
from pipelines.errors import PlatformError

SUPERVISOR = """
import json, sys
from pathlib import Path
from pipelines.adapters.platform.processes import ChildSpec
from pipelines.adapters.platform.supervisor import RestartPolicy, supervise

root, commands = Path(sys.argv[1]), json.loads(sys.argv[2])
specs = [ChildSpec(name=n, command=tuple(c), environment={}) for n, c in commands.items()]
policy = RestartPolicy(most_restarts=2, first_wait_seconds=0.05)
with (root / "reports").open("a", buffering=1) as reports:
    supervise(root, specs, policy=policy, report=lambda title, body: print(title, file=reports))
"""
"""A supervisor as the platform has one, of the commands a test names."""

SLEEP = "import time; time.sleep(1000)"

FAMILY = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + {SLEEP!r}
subprocess.Popen([sys.executable, "-c", deaf])
{SLEEP}
"""
"""A process with three children: one in its group, one in a session of its own, one deaf."""

WEB_SERVER = """
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    home.mkdir()
    yield home
    processes.stop(home)
    assert process_state.owned(home) == ()


def supervised(root: Path, **codes: str | Sequence[str]) -> SupervisorState:
    """Start a supervisor of Python programs, each its code, or code and arguments."""
    programs = {
        name: [code] if isinstance(code, str) else list(code) for name, code in codes.items()
    }
    commands = {name: [sys.executable, "-c", *program] for name, program in programs.items()}
    command = (sys.executable, "-c", SUPERVISOR, str(root), json.dumps(commands))
    checkout = str(Path(pipelines.__file__).parents[1])
    return processes.start(root, command, {"PYTHONPATH": checkout})


def child(root: Path, name: str) -> ChildState:
    state = process_state.running(root)
    assert state is not None
    return next(child for child in state.children if child.name == name)


def reports(root: Path) -> list[str]:
    file = root / "reports"
    return file.read_text().splitlines() if file.exists() else []


def pid_of(root: Path, name: str) -> int:
    pid = child(root, name).pid
    assert pid is not None
    return pid


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.05)


def wait_for_family(root: Path) -> tuple[psutil.Process, ...]:
    """Wait for the three children of FAMILY; the deaf one must have had time to become so."""
    wait_until(lambda: len(process_state.owned(root, "family")) == 4, "a family of four")
    time.sleep(0.3)
    return process_state.owned(root, "family")


def test_a_killed_child_is_started_again_and_counted(root: Path) -> None:
    port = free_port()
    supervised(root, web=(WEB_SERVER, str(port)), idle=SLEEP)
    wait_until(lambda: answers(port), "the first server answers")
    first = pid_of(root, "web")
    idle = child(root, "idle")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: child(root, "web").restarts == 1, "the restart is counted")
    wait_until(lambda: answers(port), "the second server answers")
    assert pid_of(root, "web") != first
    assert child(root, "web").exit_code == -signal.SIGKILL
    assert child(root, "idle") == idle
    wait_until(lambda: bool(reports(root)), "a report")
    assert reports(root) == ["web died and is started again"]


def test_what_a_dead_child_forked_dies_with_it(root: Path) -> None:
    supervised(root, family=FAMILY)
    family = wait_for_family(root)
    os.kill(pid_of(root, "family"), signal.SIGKILL)
    wait_until(lambda: alive(family) == [], "the family dies")
    wait_until(lambda: child(root, "family").restarts == 1, "a new family")


def test_a_child_that_keeps_dying_is_given_up_and_says_why(root: Path) -> None:
    supervised(root, broken="import sys; sys.exit('no configuration')", idle=SLEEP)
    wait_until(lambda: child(root, "broken").state == "given up", "it is given up")
    assert child(root, "broken").restarts == 2
    assert child(root, "broken").exit_code == 1
    assert child(root, "idle").state == "running"
    log = process_logs.log_file(root, "broken")
    assert process_logs.tail(log, 10).splitlines() == ["no configuration"] * 3
    # The state is told first, the report right after it.
    wait_until(lambda: len(reports(root)) == 3, "three reports")
    assert reports(root) == [
        "broken died and is started again",
        "broken died and is started again",
        "broken keeps dying and is not started again",
    ]


def test_stop_ends_every_descendant(root: Path) -> None:
    supervised(root, family=FAMILY)
    family = wait_for_family(root)
    assert processes.stop(root)
    assert alive(family) == []
    assert process_state.running(root) is None
    assert not processes.stop(root)


def test_a_killed_supervisor_takes_its_children_along_and_the_sweep_the_rest(root: Path) -> None:
    state = supervised(root, family=FAMILY)
    family = wait_for_family(root)
    leader = psutil.Process(pid_of(root, "family"))
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: alive([leader]) == [], "the leader of the family dies")
    # Without a sweep these three would stay: the fault landed.
    assert len(alive(family)) == 3
    assert process_state.running(root) is None
    assert process_state.sweep(root) == 3
    assert alive(family) == []


def test_a_new_supervisor_first_ends_what_a_killed_one_left(root: Path) -> None:
    state = supervised(root, family=FAMILY)
    family = wait_for_family(root)
    os.kill(state.pid, signal.SIGKILL)
    supervised(root, idle=SLEEP)
    assert alive(family) == []


def test_a_process_that_changes_its_title_is_still_found(root: Path) -> None:
    retitle = "import setproctitle; setproctitle.setproctitle('worker ' * 500);" + SLEEP
    supervised(root, titled=retitle)
    pid = pid_of(root, "titled")
    wait_until(lambda: psutil.Process(pid).cmdline()[0].startswith("worker"), "it has its title")
    assert [process.pid for process in process_state.owned(root, "titled")] == [pid]


def test_a_home_has_one_supervisor(root: Path) -> None:
    first = supervised(root, idle=SLEEP)
    with pytest.raises(PlatformError, match="another supervisor"):
        supervised(root, idle=SLEEP)
    state = process_state.running(root)
    assert state is not None
    assert state.pid == first.pid
    assert child(root, "idle").restarts == 0


def test_another_home_is_left_alone(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    try:
        supervised(other, idle=SLEEP)
        supervised(root, idle=SLEEP)
        processes.stop(root)
        assert child(other, "idle").state == "running"
    finally:
        processes.stop(other)


@pytest.mark.parametrize("seconds_off", [0.0, 3600.0])
def test_a_process_that_reuses_the_supervisors_pid_is_not_killed(
    root: Path, seconds_off: float
) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        started = process_state.seconds_after_boot(psutil.Process(stranger.pid)) - seconds_off
        process_state.write(root, SupervisorState(pid=stranger.pid, started=started, children=()))
        assert process_state.running(root) is None
        assert not processes.stop(root)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_supervisor_that_cannot_start_shows_its_log(root: Path) -> None:
    with pytest.raises(PlatformError, match="no such luck"):
        processes.start(root, (sys.executable, "-c", "raise SystemExit('no such luck')"), {})


def test_a_lock_waits_no_longer_than_asked(root: Path) -> None:
    path = root / "run" / "lock"
    with processes.only_one(path, what="a test"):
        begun = time.monotonic()
        with (
            pytest.raises(PlatformError, match="a test"),
            processes.only_one(path, what="a test", wait_seconds=0.3),
        ):
            pass
        assert 0.3 <= time.monotonic() - begun < 5
    with processes.only_one(path, what="a test"):
        pass


def test_a_requested_port_in_use_is_refused_by_its_number(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port}: .*another process"):
            ports.choose(root, requested=port)


def test_ports_are_kept_while_they_are_free(root: Path) -> None:
    first = ports.choose(root)
    assert len({first.airflow, first.mlflow, first.worker_logs, first.triggerer_logs}) == 4
    assert ports.choose(root) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.mlflow))
        taken.listen()
        second = ports.choose(root)
    assert second.airflow == first.airflow
    assert second.mlflow != first.mlflow
    assert ports.read(root) == second


def test_a_log_that_grew_too_large_is_set_aside_while_its_process_writes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_logs, "LARGEST_LOG_BYTES", 10)
    path = process_logs.log_file(root, "web")
    path.parent.mkdir(parents=True)
    with path.open("a", buffering=1) as file:
        file.write("one\ntwo\nthree\n")
        assert process_logs.shorten(path)
        file.write("four\n")
        assert not process_logs.shorten(path)
    assert path.read_text() == "four\n"
    assert path.with_name("web.log.1").read_text() == "one\ntwo\nthree\n"


def alive(group: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Say who of a group lives; a zombie that waits for its parent does not."""
    living = []
    for process in group:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
