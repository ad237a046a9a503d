"""The refit process from outside: how it ended is told, and a program that hangs is stopped."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters.models import environments, refit_process
from pipelines.adapters.settings import Settings
from pipelines.domain.refitted import Order, Refitted
from pipelines.errors import PlatformError, ServiceUnavailable

ORDER = Order(use_case="machines", tags={}, seed=7, threads=1)

AT_FIT = '{"format": 1, "step": "data", "code": "c"}'

UNAVAILABLE = (
    '{"format": 1, "step": "data", "retryable": true, "problems": '
    '[{"where": "store", "expected": "an answer", "found": "none", "fix": "Wait."}]}'
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of an empty home."""
    return Settings(home=tmp_path, dags=tmp_path / "dags", expectations=tmp_path / "expectations")


def program(path: Path, text: str) -> Path:
    """Write a shell script; its third argument is the folder that asks and answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return path


def refitted(settings: Settings, text: str) -> Refitted:
    """Return what is made of a process that does this."""
    interpreter = program(settings.root / "python", text)
    probe = pa.table({"load": [0.5]})
    held = {"dags/machines.py": b""}
    return refit_process.refit(settings, held, ORDER, probe, interpreter=interpreter)


@pytest.mark.parametrize(
    ("does", "step", "ended"),
    [
        ("kill -9 $$", "code", "killed by signal 9 (SIGKILL)"),
        (f"echo '{AT_FIT}' > $3/answer.json; kill -15 $$", "data", "killed by signal 15 (SIGTERM)"),
        ("printf '{\"for' > $3/answer.json; kill -9 $$", "code", "killed by signal 9 (SIGKILL)"),
        (f"echo '{AT_FIT}' > $3/answer.json; printf PAR1 > $3/rows.parquet; exit 1", "data", ""),
        ("exit 1", "code", ""),
    ],
)
def test_the_step_and_what_ended_the_process_are_told(
    settings: Settings, does: str, step: str, ended: str
) -> None:
    found = refitted(settings, does)
    assert (found.step, found.ended, found.cut_off) == (step, ended, bool(ended))
    assert (found.marks, found.predictions) == (None, None)


def test_a_trouble_that_may_pass_is_one_here_too(settings: Settings) -> None:
    with pytest.raises(ServiceUnavailable, match="expected an answer; found none"):
        refitted(settings, f"echo '{UNAVAILABLE}' > $3/answer.json; exit 1")


def test_a_fit_and_an_installation_that_hang_are_stopped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refit_process, "LONGEST", 0.05)
    assert refitted(settings, "exec sleep 5").ended == "stopped after 0.05 seconds"
    monkeypatch.setattr(environments, "LONGEST", 0.05)
    uv = program(settings.root / "bin" / "uv", "exec sleep 5")
    monkeypatch.setenv("PATH", str(uv.parent), prepend=":")
    with pytest.raises(PlatformError, match=r"uv at work still after 0\.05 seconds"):
        environments.rebuilt(settings, lock=b"", project=b"")
    assert not list(settings.root.glob("environments/*/installed"))
