"""Settings are read again exactly when a variable says something else."""

from pathlib import Path

import pytest

from pipelines.adapters.settings import Settings, current_settings


def test_settings_are_read_once_while_no_variable_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADFRAME_HOME", "here")
    first = current_settings()
    monkeypatch.setenv("NOT_HEADFRAME_HOME", "there")
    assert current_settings() is first
    assert first == Settings()


@pytest.mark.parametrize("name", ["HEADFRAME_HOME", "headframe_home"])
def test_a_variable_that_changes_or_goes_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADFRAME_HOME", raising=False)
    said = []
    for value in ("one", "other", None, "one"):
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
        said.append(current_settings().home)
    assert said == [Path("one"), Path("other"), Path(".headframe"), Path("one")]


def test_each_of_several_variables_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADFRAME_HOME", "here")
    monkeypatch.setenv("HEADFRAME_LAKE", "s3://lake/one")
    current_settings()
    monkeypatch.setenv("HEADFRAME_LAKE", "s3://lake/other")
    assert current_settings().lake_folder == "s3://lake/other"
