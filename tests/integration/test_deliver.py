"""Deliver: outputs of a real model with their reasons, to a folder and to an object store."""

import csv
import dataclasses
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import feature_store, known, mlflow_registry, probe
from pipelines.adapters.outputs import output_ledger, placed_files
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import StoreUrl
from pipelines.cli import app
from pipelines.domain.features import feature_digest
from pipelines.domain.outputs import CsvFile, Output, TopN
from pipelines.domain.training import positive_probability
from pipelines.errors import DeclarationError, PromiseBroken
from pipelines.stages.deliver import Delivered, deliver
from pipelines.stages.maintain import Retention, maintain
from pipelines.stages.score import score
from pipelines.use_case import BusinessRule, PredictionRange, TrainedUseCase, UseCase
from tests import machines, predicted
from tests.machines import MACHINES, at

Home = tuple[UseCase, Settings]

WATCH = TopN(2, name="watch", consumer="desk", by="p_stopped", per="family")
ALL = CsvFile(
    name="all", consumer="desk",
    columns=["machine", "p_stopped", "raw_prediction", "rule", "load", "past_rate"],
)  # fmt: skip
CAP = BusinessRule(
    "cap", owner="plant", when="load > 0.5", then="least(prediction, 0.3)", reason="agreed"
)


def with_scoring(home: Home, **changes: Any) -> Home:  # noqa: ANN401 - any field of scoring
    use_case, settings = home
    scoring = dataclasses.replace(TrainedUseCase.of(use_case).scoring, **changes)
    return dataclasses.replace(use_case, scoring=scoring), settings


def scored(home: Home, day: int = 47) -> datetime:
    use_case, settings = home
    done = score(use_case, settings, since=at(day, 0), until=at(day + 1, 0), run="test")
    return done.windows[0].scored_for


def delivered(home: Home, *moments: datetime) -> Delivered:
    use_case, settings = home
    return deliver(use_case, settings, scored_for=moments, run="test", connections=str)


def content(settings: Settings, use_case: str, output: Output, moment: datetime) -> bytes:
    ending = {TopN: "json", CsvFile: "csv"}[type(output)]
    place = placed_files.folder(settings, use_case, output.name)
    return placed_files.read(place, placed_files.file_name(moment, ending))


def top_list(home: Home, moment: datetime) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content(home[1], machines.NAME, WATCH, moment))
    return found


def rows_of(home: Home, day: int = 47) -> list[dict[str, str]]:
    text = content(home[1], machines.NAME, ALL, at(day, 4)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_top_list_has_the_highest_of_each_group_with_the_models_own_reasons(
    promoted: Home,
) -> None:
    home = with_scoring(promoted, outputs=[WATCH, ALL])
    moment = scored(home)
    delivered(home, moment)
    listed = top_list(home, moment)
    assert listed["without_reasons"] == ""
    assert [(row["family"], row["rank"]) for row in listed["rows"]] == [
        ("A", 1), ("A", 2), ("B", 1), ("B", 2),
    ]  # fmt: skip
    by_family: dict[str, list[float]] = {"A": [], "B": []}
    for row in rows_of(home):
        by_family[row["machine"][0]].append(float(row["p_stopped"]))
    for family, values in by_family.items():
        mine = [row["p_stopped"] for row in listed["rows"] if row["family"] == family]
        assert mine == sorted(values, reverse=True)[:2]
    for row in listed["rows"]:
        assert row["reasons"], "a high prediction has a reason"
        for reason in row["reasons"]:
            replaced = predicted_with(home, row, reason["feature"], reason["usual"])
            assert reason["effect"] == pytest.approx(row["raw_prediction"] - replaced, abs=1e-12)
            assert reason["text"].startswith(f"{reason['feature']} ")


def predicted_with(home: Home, row: dict[str, Any], feature: str, usual: Any) -> float:  # noqa: ANN401 - any feature
    """Predict one row again, with one feature put to another value."""
    import pyarrow as pa

    use_case, settings = home
    parts = TrainedUseCase.of(use_case)
    model = mlflow_registry.candidate(settings, use_case.name, "1")
    digest = feature_digest(parts.features, parts.label)
    rows = delta_tables.read(lake.features(settings, use_case.name, digest))
    day = datetime.fromisoformat(row["day"]).date()
    mine = rows.filter(
        pc.and_(pc.equal(rows["machine"], row["machine"]), pc.equal(rows["day"], pa.scalar(day)))
    )
    assert mine.num_rows == 1
    place, kind = mine.column_names.index(feature), mine.schema.field(feature).type
    mine = mine.set_column(place, feature, pa.array([usual], kind))
    estimator = mlflow_registry.load(settings, use_case.name, model)
    return float(positive_probability(estimator, mine, probe.feature_columns(model))[0])


def test_rows_are_recorded_with_the_rule_that_changed_them_and_what_the_model_said(
    promoted: Home,
) -> None:
    home = with_scoring(promoted, outputs=[ALL], rules=[CAP])
    delivered(home, scored(home))
    rows = rows_of(home)
    assert len(rows) == MACHINES
    for row in rows:
        raw, final = float(row["raw_prediction"]), float(row["p_stopped"])
        is_capped = float(row["load"]) > 0.5 and raw > 0.3
        assert (final, row["rule"]) == ((0.3, "cap") if is_capped else (raw, ""))
    assert {row["rule"] for row in rows} == {"", "cap"}


def test_a_broken_range_publishes_nothing_and_counts_the_rows(promoted: Home) -> None:
    capped = {"outputs": [ALL], "rules": [CAP]}
    home = with_scoring(promoted, **capped, promises=[PredictionRange(0.301, 1)])
    with pytest.raises(PromiseBroken) as caught:
        scored(home)
    table = lake.predictions(home[1], machines.NAME)
    assert not delta_tables.exists(table) or not delta_tables.read(table).num_rows
    healed = with_scoring(promoted, **capped, promises=[PredictionRange(0.3, 1)])
    delivered(healed, scored(healed))
    outside = sum(float(row["p_stopped"]) == 0.3 for row in rows_of(healed))
    assert 0 < outside < MACHINES
    (problem,) = caught.value.problems
    assert problem.expected == "a prediction in [0.301, 1] in every row (promised to desk)"
    assert problem.found == f"{outside} of {MACHINES} predictions outside it"


def test_rows_whose_features_were_replaced_since_have_no_reasons_and_the_list_says_so(
    promoted: Home,
) -> None:
    home = with_scoring(promoted, outputs=[WATCH])
    moment = scored(home)
    use_case, settings = home
    parts = TrainedUseCase.of(use_case)
    folder = lake.features(settings, use_case.name, feature_digest(parts.features, parts.label))
    rows = delta_tables.read(folder, where="machine like 'A%'")
    place = rows.column_names.index("load")
    changed = rows.set_column(place, "load", pc.add(rows["load"], 0.01))
    delta_tables.commit_rows(
        folder, changed, transactions={"test": 1}, metadata={}, replace="machine like 'A%'"
    )
    delivered(home, moment)
    listed = top_list(home, moment)
    assert "their feature rows were replaced since they were scored" in listed["without_reasons"]
    assert {row["family"]: bool(row["reasons"]) for row in listed["rows"]} == {
        "A": False,
        "B": True,
    }


def test_rows_show_the_features_that_they_were_scored_with_or_none(promoted: Home) -> None:
    """A block was described anew, its window was not scored again, and then maintenance came by."""
    home = with_scoring(promoted, outputs=[ALL])
    use_case, settings = home
    moment = scored(home, 49)
    delivered(home, moment)
    before = {row["machine"]: row["past_rate"] for row in rows_of(home, 49)}
    header, late = "day,machine,stop_minutes", f"{at(46):%Y-%m-%d}"
    rows = [f"{late},{name},90" for name in before]
    machines.land(settings, "outcome/late.csv", header, rows, at(47, 12))
    machines.take_in(use_case, settings)
    parts = TrainedUseCase.of(use_case)
    folder = lake.features(settings, use_case.name, feature_digest(parts.features, parts.label))
    tables = known.load(settings, use_case.name, parts.features, parts.label)
    block = (moment, parts.scoring.times.after(moment))
    now = feature_store.rows_at(folder, parts.features, tables, [block])
    assert now is not None
    rates = dict(zip(now["machine"].to_pylist(), now["past_rate"].to_pylist(), strict=True))
    assert {name: str(rate) for name, rate in rates.items()} != before

    again = dataclasses.replace(ALL, columns=["machine", "past_rate"])
    delivered(with_scoring(home, outputs=[again]), moment)
    assert {row["machine"]: row["past_rate"] for row in rows_of(home, 49)} == before
    maintain(settings, now=at(500), run="test", retention=Retention(files_hours=0))
    delivered(home, moment)
    assert {row["machine"]: row["past_rate"] for row in rows_of(home, 49)} == dict.fromkeys(
        before, ""
    )


def test_rows_whose_features_are_gone_have_no_reasons_and_the_list_says_so(promoted: Home) -> None:
    home = with_scoring(promoted, outputs=[WATCH])
    moment = scored(home)
    use_case, settings = home
    parts = TrainedUseCase.of(use_case)
    folder = lake.features(settings, use_case.name, feature_digest(parts.features, parts.label))
    none = delta_tables.schema(folder).empty_table()
    delta_tables.commit_rows(folder, none, transactions={"test": 1}, metadata={}, replace="true")
    delivered(home, moment)
    listed = top_list(home, moment)
    assert "their feature rows were replaced since they were scored" in listed["without_reasons"]
    # The family is a feature, too: without any, all rows are of one group.
    assert [(row["family"], row["reasons"]) for row in listed["rows"]] == [(None, [])] * 2


def test_a_column_that_does_not_exist_stops_every_output_before_it_is_written(
    promoted: Home,
) -> None:
    home = with_scoring(promoted, outputs=[ALL])
    moment = scored(home)
    typo = with_scoring(home, outputs=[ALL, dataclasses.replace(WATCH, by="p_stoped")])
    with pytest.raises(DeclarationError, match="did you mean 'p_stopped'"):
        delivered(typo, moment)
    assert not (home[1].root / "outputs").exists()


DECLARED = """Scoring(
        outputs=[TopN(2, name="watch", consumer="desk", by="p_stopped", per="family")],"""


def test_the_command_shows_what_was_delivered_and_the_newest_list(
    promoted: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = promoted[1]
    path = settings.dags / "machines.py"
    text = (
        path.read_text("utf-8")
        .replace("Scoring(", DECLARED, 1)
        .replace("Table,", "Table, TopN,", 1)
    )
    path.write_text(text, "utf-8")
    monkeypatch.setenv("HEADFRAME_HOME", str(settings.home))
    monkeypatch.setenv("HEADFRAME_DAGS", str(settings.dags))
    assert run("outputs", "machines")[0] == 1, "nothing was delivered yet"
    day = f"{at(47):%Y-%m-%d}"
    for stage in ("score", "deliver"):
        status, told = run("run", stage, "machines", "--from", day)
        assert status == 0, told
    status, told = run("outputs", "machines")
    assert status == 0
    for expected in ("watch for desk", f"{at(47):%Y-%m-%d} 04:00 UTC", "load", "instead of"):
        assert expected in told
    status, told = run("outputs", "machines", "--window", day, "--json")
    found = json.loads(told)
    assert [item["output"] for item in found["outputs"]] == ["watch"]
    assert found["outputs"][0]["place"] == f"outputs/machines/watch/{at(47):%Y-%m-%d}T040000Z.json"
    assert len(found["lists"][0]["rows"]) == 4
    assert run("outputs", "machines", "--window", f"{at(48):%Y-%m-%d}")[0] == 1


def run(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, arguments)
    return ended.exit_code, ended.output


def test_beside_a_lake_in_a_store_the_files_are_in_the_store(
    store: StoreUrl, tmp_path: Path
) -> None:
    settings = predicted.settings_in(tmp_path)
    predicted.publish(settings, [("A", 1, 0.5), ("B", 2, 0.25)])
    remote = predicted.settings_in(tmp_path, lake_folder=str(store / "lake"))
    upload(settings.lake, store / "lake")
    output = CsvFile(name="desk", consumer="desk", columns=["ward", "p_missed"])
    use_case = predicted.declared(output)
    for expected in ("delivered", "unchanged"):
        done = deliver(use_case, remote, scored_for=[predicted.FIRST], run="test", connections=str)
        assert [found.outcome for found in done.outputs] == [expected]
    found = content(remote, predicted.NAME, output, predicted.FIRST)
    assert found == b"ward,p_missed\r\nA,0.5\r\nB,0.25\r\n"
    (recorded,) = output_ledger.read(remote, predicted.NAME)
    place = f"{store}/lake-outputs/visits/desk/2026-03-01T050000Z.csv"
    assert recorded.place == place
    names = [listed.name for listed in object_store.listing(store / "lake-outputs")]
    assert names == [
        "visits/desk/2026-03-01T050000Z.csv",
        "visits/desk/2026-03-01T050000Z.csv.delivered.json",
    ]
    assert not (tmp_path / "outputs").exists()


def upload(folder: object, target: StoreUrl) -> None:
    assert isinstance(folder, Path)
    for path in folder.rglob("*"):
        if path.is_file():
            object_store.put(path, target / path.relative_to(folder).as_posix())


def test_a_file_that_somebody_changed_is_written_again(tmp_path: Path) -> None:
    settings = predicted.settings_in(tmp_path)
    predicted.publish(settings, [("A", 1, 0.5)])
    output = CsvFile(name="desk", consumer="desk", columns=["ward"])
    use_case = predicted.declared(output)

    def again() -> list[str]:
        done = deliver(
            use_case, settings, scored_for=[predicted.FIRST], run="test", connections=str
        )
        return [found.outcome for found in done.outputs]

    assert again() == ["delivered"]
    path = settings.root / "outputs" / "visits" / "desk" / "2026-03-01T050000Z.csv"
    path.write_text("ward\r\nB\r\n", "utf-8")
    assert again() == ["delivered"]
    assert path.read_bytes() == b"ward\r\nA\r\n"
    path.unlink()
    assert again() == ["delivered"]
    assert len(output_ledger.read(settings, predicted.NAME)) == 1, "it is the same delivery"
