"""The decisions ledger as a chain, and the champion it agrees on with MLflow or nobody."""

import dataclasses
import hashlib
from collections.abc import Callable
from datetime import timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from mlflow import MlflowClient

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import champion, decisions
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import chained
from pipelines.errors import ChampionUnresolved, HeadframeError, LakeError
from pipelines.stages.promote import promote
from pipelines.stages.train import train
from pipelines.use_case import UseCase
from tests import machines
from tests.faults.forked import processes
from tests.goldens import assert_golden
from tests.integration.ledger_race import EACH, WHEN, WRITERS, decision, race


def append_all(home: Settings, *versions: str) -> None:
    for version in versions:
        decisions.append(home, lambda _, version=version: decision(version))  # type: ignore[misc]


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_decisions_come_back_in_order_each_chained_to_the_one_before(home: Settings) -> None:
    append_all(home, "1", "2", "3")
    found = decisions.read_all(home)
    assert [entry.decision for entry in found] == [decision(v) for v in ("1", "2", "3")]
    assert [entry.sequence for entry in found] == [1, 2, 3]
    assert [entry.previous for entry in found] == ["", found[0].digest, found[1].digest]


def test_no_ledger_is_no_decisions(home: Settings) -> None:
    assert decisions.read_all(home) == []


def test_a_use_case_reads_its_own_decisions(home: Settings) -> None:
    decisions.append(home, lambda _: decision("1", "other"))
    append_all(home, "2")
    assert [entry.decision.version for entry in decisions.read_all(home, "machines")] == ["2"]


def test_deciding_nothing_appends_nothing(home: Settings) -> None:
    append_all(home, "1")
    assert decisions.append(home, lambda _: None) is None
    assert len(decisions.read_all(home)) == 1


def test_a_time_in_another_zone_keeps_the_chain(home: Settings) -> None:
    berlin = WHEN.astimezone(timezone(timedelta(hours=2)))
    decisions.append(home, lambda _: dataclasses.replace(decision("1"), as_of=berlin))
    append_all(home, "2")
    assert decisions.read_all(home)[0].decision.as_of == WHEN


def row(home: Settings, number: int, **changes: object) -> pa.Table:
    """Return one ledger row as a table, changed by hand."""
    rows = delta_tables.read(lake.ledger(home, "decisions"))
    chosen = next(r for r in rows.to_pylist() if r["sequence"] == number)
    return pa.Table.from_pylist([{**chosen, **changes}], schema=rows.schema)


def replaced(home: Settings, where: str, rows: pa.Table) -> None:
    delta_tables.commit_rows(
        lake.ledger(home, "decisions"), rows, transactions={}, metadata={}, replace=where
    )


def removed(home: Settings, number: int) -> None:
    everything = delta_tables.read(lake.ledger(home, "decisions")).to_pylist()
    kept = [r for r in everything if r["sequence"] != number]
    schema = delta_tables.schema(lake.ledger(home, "decisions"))
    replaced(home, "true", pa.Table.from_pylist(kept, schema=schema))


def inserted(home: Settings, number: int) -> None:
    """Append a copy of a row under another number, its digest as it was."""
    delta_tables.commit_rows(
        lake.ledger(home, "decisions"), row(home, 2, sequence=number), transactions={}, metadata={}
    )


def forged(home: Settings) -> None:
    """Append a row with the digest that it should have, and not as the platform does."""
    last = decisions.read_all(home)[-1]
    entry = chained(
        last.sequence + 1, dataclasses.replace(last.decision, kind="approved"), last.digest
    )
    whole = {
        **dataclasses.asdict(entry.decision),
        "sequence": entry.sequence,
        "digest": entry.digest,
    }
    rows = row(home, last.sequence, previous=last.digest, **whole)
    delta_tables.commit_rows(lake.ledger(home, "decisions"), rows, transactions={}, metadata={})


TAMPERINGS: dict[str, Callable[[Settings], None]] = {
    "a reason changed": lambda home: replaced(
        home, "sequence = 2", row(home, 2, reason="on second thought")
    ),
    "a version changed": lambda home: replaced(home, "sequence = 1", row(home, 1, version="9")),
    "the last one changed": lambda home: replaced(
        home, "sequence = 3", row(home, 3, kind="approved")
    ),
    "the first removed": lambda home: removed(home, 1),
    "one in the middle removed": lambda home: removed(home, 2),
    "the last removed": lambda home: removed(home, 3),
    "one doubled": lambda home: inserted(home, 2),
    "one appended": lambda home: inserted(home, 4),
    "one appended with its digest": forged,
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_ledger_changed_by_hand_is_refused_for_reading_and_writing(
    name: str, home: Settings
) -> None:
    append_all(home, "1", "2", "3")
    TAMPERINGS[name](home)
    with pytest.raises(LakeError, match="an unbroken chain of digests"):
        decisions.read_all(home)
    with pytest.raises(LakeError):
        append_all(home, "4")


def test_writing_the_same_row_back_is_no_tampering(home: Settings) -> None:
    append_all(home, "1", "2", "3")
    replaced(home, "sequence = 2", row(home, 2))
    assert len(decisions.read_all(home)) == 3


def test_racing_appenders_keep_the_chain_whole(home: Settings) -> None:
    context = processes()
    start = context.Barrier(WRITERS)
    writers = [
        context.Process(target=race, args=(str(home.home), writer, start))
        for writer in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(150)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    found = [entry.decision.version for entry in decisions.read_all(home)]
    assert sorted(found) == [f"{writer}.{n}" for writer in range(WRITERS) for n in range(EACH)]


def test_without_a_promotion_there_is_no_champion(machines_settings: Settings) -> None:
    assert champion.resolve(machines_settings, "machines") is None


def test_a_first_promotion_makes_the_champion(promoted: tuple[UseCase, Settings]) -> None:
    _, settings = promoted
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert (found.model.version, found.promoted.kind) == ("1", "promoted")
    alias = MlflowClient(settings.mlflow_uri).get_model_version_by_alias("machines", "champion")
    assert (str(alias.version), alias.run_id) == ("1", found.model.run_id)


def test_a_second_promotion_replaces_the_champion(promoted: tuple[UseCase, Settings]) -> None:
    use_case, settings = promoted
    promote(use_case, settings, version="2", as_of=machines.at(50))
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert found.model.version == "2"


def unresolved(settings: Settings) -> str:
    with pytest.raises(ChampionUnresolved) as caught:
        champion.resolve(settings, "machines")
    return str(caught.value)


def test_an_alias_moved_by_hand_is_seen_and_mended_by_promoting_again(
    promoted: tuple[UseCase, Settings],
) -> None:
    use_case, settings = promoted
    client = MlflowClient(settings.mlflow_uri)
    copy = client.copy_model_version("models:/machines-candidates/2", "machines")
    client.set_registered_model_alias("machines", "champion", copy.version)
    assert_golden("champion/alias_moved", unresolved(settings))
    again = promote(use_case, settings, version="1", as_of=machines.at(50))
    assert not again.changed
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert found.model.version == "1"


def test_a_removed_alias_is_seen_and_mended_by_promoting_again(
    promoted: tuple[UseCase, Settings],
) -> None:
    use_case, settings = promoted
    MlflowClient(settings.mlflow_uri).delete_registered_model_alias("machines", "champion")
    assert_golden("champion/alias_removed", unresolved(settings))
    promote(use_case, settings, version="1", as_of=machines.at(50))
    assert champion.resolve(settings, "machines") is not None


def test_an_alias_set_by_hand_before_any_promotion_is_refused(machines_settings: Settings) -> None:
    use_case = machines.declare(machines_settings)
    train(use_case, machines_settings, as_of=machines.at(47), run="test", requester="sam")
    client = MlflowClient(machines_settings.mlflow_uri)
    copy = client.copy_model_version("models:/machines-candidates/1", "machines")
    client.set_registered_model_alias("machines", "champion", copy.version)
    assert_golden("champion/alias_by_hand", unresolved(machines_settings))


def test_a_deleted_version_is_refused(promoted: tuple[UseCase, Settings]) -> None:
    use_case, settings = promoted
    MlflowClient(settings.mlflow_uri).delete_model_version("machines-candidates", "1")
    assert_golden("champion/version_deleted", unresolved(settings))
    with pytest.raises(HeadframeError):
        promote(use_case, settings, version="1", as_of=machines.at(50))


def test_a_deleted_copy_is_made_again_by_promoting_again(
    promoted: tuple[UseCase, Settings],
) -> None:
    use_case, settings = promoted
    MlflowClient(settings.mlflow_uri).delete_model_version("machines", "1")
    unresolved(settings)
    promote(use_case, settings, version="1", as_of=machines.at(50))
    assert champion.resolve(settings, "machines") is not None


def test_a_changed_digest_tag_is_refused(promoted: tuple[UseCase, Settings]) -> None:
    _, settings = promoted
    tag = "headframe.artifact_sha256"
    MlflowClient(settings.mlflow_uri).set_model_version_tag("machines-candidates", "1", tag, "ff")
    assert "expected the artifact that was promoted" in unresolved(settings)


@pytest.mark.parametrize("file", ["model.skops", "MLmodel", "smuggled.py"])
def test_a_changed_or_added_artifact_file_is_never_loaded(
    file: str, promoted: tuple[UseCase, Settings]
) -> None:
    _, settings = promoted
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert champion.scorer(settings, "machines", found) is not None
    for tree in settings.mlflow_artifacts.glob("**/model.skops"):
        path = tree.with_name(file)
        before = path.read_bytes() if path.exists() else b""
        path.write_bytes(before + b"\n")
    with pytest.raises(ChampionUnresolved, match="changed after registration"):
        champion.scorer(settings, "machines", found)


def test_removed_artifacts_are_reported_as_missing(promoted: tuple[UseCase, Settings]) -> None:
    _, settings = promoted
    found = champion.resolve(settings, "machines")
    assert found is not None
    settings.mlflow_artifacts.rename(settings.mlflow_artifacts.with_name("moved"))
    with pytest.raises(ChampionUnresolved, match="none to be had"):
        champion.scorer(settings, "machines", found)


def test_a_promotion_under_way_is_waited_for(
    promoted: tuple[UseCase, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_case, settings = promoted
    begin(settings, "2")
    waited: list[float] = []

    def meanwhile(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            promote(use_case, settings, version="2", as_of=machines.at(50))

    monkeypatch.setattr(champion, "PATIENCE", (0.1, 0.2, 0.3))
    monkeypatch.setattr(champion, "time", SimpleNamespace(sleep=meanwhile))
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert (found.model.version, waited) == ("2", [0.1, 0.2])
    MlflowClient(settings.mlflow_uri).delete_registered_model_alias("machines", "champion")
    with pytest.raises(ChampionUnresolved, match="no alias"):
        champion.resolve(settings, "machines")
    assert waited[2:] == [0.1, 0.2, 0.3], "and no longer"


def test_an_unfinished_promotion_is_refused_until_promote_runs_again(
    promoted: tuple[UseCase, Settings],
) -> None:
    use_case, settings = promoted
    begin(settings, "2")
    assert_golden("champion/unfinished", unresolved(settings))
    promote(use_case, settings, version="2", as_of=machines.at(50))
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert found.model.version == "2"


def test_promoting_the_standing_champion_undoes_an_unfinished_promotion(
    promoted: tuple[UseCase, Settings],
) -> None:
    use_case, settings = promoted
    begin(settings, "2")
    promote(use_case, settings, version="1", as_of=machines.at(50))
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert found.model.version == "1"


def test_only_a_promoted_version_can_be_pinned(promoted: tuple[UseCase, Settings]) -> None:
    use_case, settings = promoted
    with pytest.raises(ChampionUnresolved) as caught:
        champion.pinned(settings, "machines", "2")
    assert_golden("champion/pinned_candidate", str(caught.value))
    promote(use_case, settings, version="2", as_of=machines.at(50))
    assert champion.pinned(settings, "machines", "1").promoted.version == "1"


def begin(settings: Settings, version: str) -> None:
    """Write the first half of a promotion, as a killed run leaves it."""
    evaluated = [
        entry.decision
        for entry in decisions.read_all(settings, "machines")
        if entry.decision.version == version
    ][-1]
    decisions.append(settings, lambda _: dataclasses.replace(evaluated, kind="promoting"))


def test_the_digest_of_an_entry_is_that_of_its_written_form(home: Settings) -> None:
    append_all(home, "1")
    (entry,) = decisions.read_all(home)
    text = (
        '[1,"",{"actor":"gates","artifact_sha256":"aa","as_of":"2026-05-01T09:00:00+00:00",'
        '"evidence_digest":"bb","kind":"evaluated","reason":"it\'s \\"good\\"; \'really\'",'
        '"type":"Decision","use_case":"machines","version":"1"}]'
    )
    assert entry.digest == hashlib.sha256(text.encode()).hexdigest()
