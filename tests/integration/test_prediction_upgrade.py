"""Predictions of the release before partitions: upgraded in place, and scored on from there."""

import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables, table_formats
from pipelines.adapters.models import code_archive, prediction_store
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.object_store import local
from pipelines.errors import LakeError
from pipelines.stages.promote import promote
from pipelines.stages.score import score
from pipelines.use_case import UseCase, load
from tests import machines
from tests.faults.forked import run_script
from tests.machines import at

Home = tuple[UseCase, Settings]
Held = dict[str, list[dict[str, Any]]]
"""The rows of a table, by its name."""

NEW = ("as_of", "raw_prediction", "rule")
"""Columns that the release before did not have."""


def made_by_the_release_before(settings: Settings) -> Held:
    """Put tables of format 1 in place of predictions and history; return the rows they held."""
    held = {}
    for name, folder in tables(settings).items():
        rows = delta_tables.read(folder)
        held[name] = sorted(rows.to_pylist(), key=order)
        numbers = delta_tables.transaction_versions(
            folder, delta_tables.transactions_of(folder, "score:")
        )
        local(folder).rename(settings.root / f"new_{folder.name}")
        old = rows.drop_columns(list(NEW))
        DeltaTable.create(
            str(folder),
            old.schema,
            configuration={"headframe.format": "1"},
            raise_if_key_not_exists=False,
        )
        write_deltalake(
            str(folder),
            old,
            mode="append",
            commit_properties=CommitProperties(
                app_transactions=[Transaction(name, n) for name, n in numbers.items()]
            ),
        )
    return held


def tables(settings: Settings) -> dict[str, Any]:
    return {
        "predictions.machines": lake.predictions(settings, "machines"),
        "predictions.machines__history": lake.prediction_history(settings, "machines"),
    }


def order(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["scored_for"], row["machine"], row["generation"]


@pytest.fixture(scope="module")
def old_template(
    promoted_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Held]:
    """Return a home with tables of the release before, and the rows that they hold."""
    folder = tmp_path_factory.mktemp("old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_archive, "PACKAGE", folder / "no_library")
        settings = machines.copy_template(promoted_template, folder)
        use_case = load(settings.dags / "machines.py")
        for version in ("1", "2"):
            if version == "2":
                promote(use_case, settings, version="2", as_of=at(50))
            score(use_case, settings, since=at(46, 0), until=at(49, 0), run="test")
    return folder, made_by_the_release_before(settings)


@pytest.fixture
def old(old_template: tuple[Path, Held], tmp_path: Path, stable_code: None) -> tuple[Home, Held]:
    folder, held = old_template
    settings = machines.copy_template(folder, tmp_path / "old")
    return (load(settings.dags / "machines.py"), settings), held


def rows_of(settings: Settings) -> Held:
    return {
        name: sorted(delta_tables.read(folder).to_pylist(), key=order)
        for name, folder in tables(settings).items()
    }


def test_every_generation_is_kept_and_scoring_goes_on(
    old: tuple[Home, Held],
) -> None:
    (use_case, settings), held = old
    with pytest.raises(LakeError, match="headframe upgrade"):
        score(use_case, settings, since=at(46, 0), until=at(49, 0), run="test")
    steps = table_formats.upgrade(tables(settings))
    assert [(step.table, step.old, step.new) for step in steps] == [
        ("predictions.machines", "1", "2"),
        ("predictions.machines__history", "1", "2"),
    ]
    assert rows_of(settings) == held
    standing = prediction_store.standing(settings, "machines")
    assert [(s.generation, s.rows) for s in standing] == [(2, 40)] * 3
    score(use_case, settings, since=at(46, 0), until=at(50, 0), run="test")
    generations = [s.generation for s in prediction_store.standing(settings, "machines")]
    assert generations == [3, 3, 3, 1]
    history = delta_tables.read(lake.prediction_history(settings, "machines"))
    assert sorted(history["generation"].to_pylist()) == [1] * 120 + [2] * 120
    assert table_formats.upgrade(tables(settings)) == []


KILLED = """
import sys
from pathlib import Path
from pipelines.adapters.delta import table_formats
table_formats.upgrade({name: Path(path) for name, path in zip(sys.argv[1::2], sys.argv[2::2])})
"""


@pytest.mark.parametrize(
    "place",
    [
        "upgrade.between_partitions_and_rows",
        "upgrade.between_change_and_format",
        "upgrade.after_format",
    ],
)
def test_an_upgrade_that_was_killed_goes_on_without_a_lost_or_doubled_row(
    place: str, old: tuple[Home, Held]
) -> None:
    (_, settings), held = old
    named = [str(part) for item in tables(settings).items() for part in item]
    reached = settings.root / "reached"
    status, _ = run_script(KILLED, *named, reached=reached, failpoint=place)
    assert (status, reached.read_text().split()) == (-signal.SIGKILL, [place])
    table_formats.upgrade(tables(settings))
    assert rows_of(settings) == held


def test_an_empty_table_is_upgraded_too(tmp_path: Path) -> None:
    folder = tmp_path / "predictions" / "machines"
    schema = pa.schema(
        [
            ("machine", pa.string()),
            ("scored_for", pa.timestamp("us", tz="UTC")),
            ("event_time", pa.timestamp("us", tz="UTC")),
            ("prediction", pa.float64()),
            ("prediction_window", pa.string()),
            ("run_key", pa.string()),
            ("generation", pa.int64()),
        ]
    )
    configuration = {"headframe.format": "1"}
    DeltaTable.create(
        str(folder), schema, configuration=configuration, raise_if_key_not_exists=False
    )
    table_formats.upgrade({"predictions.machines": folder})
    assert delta_tables.read(folder).num_rows == 0
    assert table_formats.format_of(folder) == "2"
