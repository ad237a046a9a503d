"""Reconcile: each way in which ledger, alias and artifacts part, found, named, and mended or frozen."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from mlflow import MlflowClient

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import (
    champion,
    champion_alias,
    champion_moves,
    decisions,
    mlflow_registry,
)
from pipelines.adapters.models.judged_tags import FEATURES
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import Decision, chained
from pipelines.domain.reconciliation import Extent
from pipelines.errors import (
    ChampionUnresolved,
    LakeError,
    PromotionRefused,
    ServiceUnavailable,
)
from pipelines.stages.evaluate import evaluate
from pipelines.stages.promote import promote
from pipelines.stages.reconcile import Reconciled, reconcile, retire
from pipelines.stages.rollback import rollback
from pipelines.stages.score import score
from pipelines.stages.train import train
from pipelines.use_case import UseCase
from tests import machines
from tests.goldens import assert_golden
from tests.integration.test_decisions import TAMPERINGS
from tests.integration.test_model_loads import fail
from tests.integration.test_rollback import kinds, standing

Home = tuple[UseCase, Settings]
CANDIDATES = "machines-candidates"
TAG = "headframe.artifact_sha256"


def run(settings: Settings, extent: Extent = "look") -> Reconciled:
    return reconcile("machines", settings, actor="olga", as_of=machines.at(56), extent=extent)


def mlflow(settings: Settings) -> MlflowClient:
    return MlflowClient(settings.mlflow_uri)


def say(settings: Settings, kind: decisions.Kind, version: str) -> None:
    """Write the first half of a move, as a killed run leaves it."""
    about = next(
        e.decision
        for e in reversed(decisions.read_all(settings))
        if e.decision.version == version and e.decision.evidence_digest
    )
    fields = {name: getattr(about, name) for name in Decision.__slots__}
    decisions.append(settings, lambda _: Decision(**{**fields, "kind": kind}))


def move_alias(settings: Settings) -> None:
    mlflow(settings).set_registered_model_alias("machines", "champion", "1")


def delete_alias(settings: Settings) -> None:
    mlflow(settings).delete_registered_model_alias("machines", "champion")


def delete_copy(settings: Settings) -> None:
    found = champion_alias.standing(settings, "machines")
    assert found is not None
    mlflow(settings).delete_model_version("machines", found.version)


def alias_a_foreign_copy(settings: Settings) -> None:
    """Register the files of version 1 under the run of version 2, and point the alias at them."""
    client = mlflow(settings)
    run_id = client.get_model_version(CANDIDATES, "2").run_id
    copy = client.create_model_version("machines", f"models:/{CANDIDATES}/1", run_id=run_id)
    client.set_registered_model_alias("machines", "champion", copy.version)


def change_tag_of_copy(settings: Settings) -> None:
    found = champion_alias.standing(settings, "machines")
    assert found is not None
    mlflow(settings).set_model_version_tag("machines", found.version, TAG, "ff")


ALIASES: dict[str, Callable[[Settings], None]] = {
    "moved": move_alias,
    "deleted": delete_alias,
    "foreign_copy": alias_a_foreign_copy,
    "changed_copy": change_tag_of_copy,
    "deleted_copy": delete_copy,
}


def test_an_alias_that_says_otherwise_is_reported_and_put_where_the_ledger_says(
    replaced: Home,
) -> None:
    use_case, settings = replaced
    before = kinds(settings)
    for name, attack in ALIASES.items():
        attack(settings)
        with pytest.raises(ChampionUnresolved, match="headframe reconcile machines --repair"):
            champion.resolve(settings, "machines")
        with pytest.raises(ChampionUnresolved):
            score(use_case, settings, since=machines.at(47), until=machines.at(50), run="t")
        looked = run(settings)
        assert [finding.what for finding in looked.left] == ["alias"], name
        assert_golden(f"reconcile/alias_{name}", looked.describe())
        frozen = run(settings, "freeze")
        assert (frozen.done, [f.what for f in frozen.left]) == ((), ["alias"]), name
        repaired = run(settings, "repair")
        assert repaired.agrees
        assert repaired.done == (
            "machines: the champion alias is on version 2, as the ledger says",
        )
        assert standing(settings) == "2"
    assert kinds(settings) == before, "an alias is a copy: what was decided stays"


def test_an_alias_without_any_promotion_is_taken_away(machines_settings: Settings) -> None:
    use_case = machines.declare(machines_settings)
    assert run(machines_settings).agrees
    train(use_case, machines_settings, as_of=machines.at(47), run="test", requester="sam")
    client = mlflow(machines_settings)
    copy = client.copy_model_version(f"models:/{CANDIDATES}/1", "machines")
    client.set_registered_model_alias("machines", "champion", copy.version)
    assert [finding.what for finding in run(machines_settings).left] == ["alias"]
    assert run(machines_settings, "repair").agrees
    assert champion_alias.standing(machines_settings, "machines") is None


def delete_champion(settings: Settings) -> None:
    mlflow(settings).delete_model_version(CANDIDATES, "2")


def change_tag(settings: Settings) -> None:
    mlflow(settings).set_model_version_tag(CANDIDATES, "2", TAG, "ff")


def files_of_champion(settings: Settings) -> Path:
    run_id = mlflow(settings).get_model_version(CANDIDATES, "2").run_id
    (found,) = [
        file
        for file in settings.mlflow_artifacts.glob("**/model.skops")
        if run_id in (file.parent / "MLmodel").read_text()
    ]
    return found


def change_files(settings: Settings) -> None:
    found = files_of_champion(settings)
    found.write_bytes(found.read_bytes() + b"\n")


def remove_files(settings: Settings) -> None:
    files_of_champion(settings).unlink()


CHAMPIONS: dict[str, tuple[Callable[[Settings], None], str]] = {
    "deleted": (delete_champion, "a registered model version; found none in MLflow"),
    "changed tag": (change_tag, "found digest ff on version 2 in MLflow"),
    "changed files": (change_files, "they were changed after registration"),
    "removed files": (remove_files, "they were changed after registration"),
}


@pytest.mark.parametrize("name", CHAMPIONS)
def test_a_champion_that_is_not_what_was_promoted_is_frozen_until_rolled_back(
    name: str, replaced: Home
) -> None:
    use_case, settings = replaced
    attack, says = CHAMPIONS[name]
    attack(settings)
    looked = run(settings)
    assert [(f.what, f.remedy, f.stops) for f in looked.left] == [("champion", "freeze", True)]
    assert says in looked.describe()
    before = kinds(settings)
    frozen = run(settings, "freeze")
    assert frozen.done == ("machines: the champion is frozen",)
    assert not frozen.agrees
    assert kinds(settings) == [*before, ("frozen", "2", "olga")]
    assert run(settings, "repair").done == (), "what is frozen is frozen once"
    with pytest.raises(ChampionUnresolved, match="frozen by olga"):
        champion.resolve(settings, "machines")
    with pytest.raises(ChampionUnresolved):
        champion.pinned(settings, "machines", "2")
    rollback(use_case, settings, actor="olga", reason="frozen", as_of=machines.at(57))
    assert standing(settings) == "1"
    left = run(settings).left
    assert [(f.what, f.stops) for f in left] in ([], [("earlier champion 2", False)])


def test_a_store_that_fails_freezes_nobody(replaced: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _, settings = replaced
    before = decisions.read_all(settings)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copy2", fail)
        with pytest.raises(ServiceUnavailable):
            run(settings, "freeze")
    assert decisions.read_all(settings) == before
    assert run(settings, "freeze").agrees


TAGS: dict[str, Callable[[MlflowClient], None]] = {
    "removed": lambda client: client.delete_model_version_tag(CANDIDATES, "2", FEATURES),
    "changed": lambda client: client.set_model_version_tag(CANDIDATES, "2", FEATURES, "f" * 64),
}


@pytest.mark.parametrize("name", TAGS)
def test_attack_a_model_is_made_to_score_the_rows_of_another_view(
    name: str, replaced: Home
) -> None:
    use_case, settings = replaced
    TAGS[name](mlflow(settings))
    with pytest.raises(ChampionUnresolved, match=f"others, or none: {FEATURES}"):
        champion.to_score_with(settings, "machines", features="f" * 64)
    assert [(f.what, f.remedy) for f in run(settings).left] == [("champion", "freeze")]
    rollback(use_case, settings, actor="olga", reason="tags", as_of=machines.at(57))
    assert standing(settings) == "1"


def test_attack_a_model_is_made_to_answer_otherwise(replaced: Home) -> None:
    """Tags say which columns a model is given in which order, what its answers are, and the proof."""
    _, settings = replaced
    client, told = mlflow(settings), dict(mlflow(settings).get_model_version(CANDIDATES, "2").tags)
    attacks = {
        "headframe.numeric": '["past_rate", "load"]',
        "headframe.categorical": "[]",
        "headframe.answer": "number",
        "headframe.probe_digest": "",
    }
    for tag, value in attacks.items():
        if value:
            client.set_model_version_tag(CANDIDATES, "2", tag, value)
        else:
            client.delete_model_version_tag(CANDIDATES, "2", tag)
        with pytest.raises(ChampionUnresolved, match=f"others, or none: {tag}"):
            champion.resolve(settings, "machines")
        assert [(f.what, f.remedy) for f in run(settings).left] == [("champion", "freeze")]
        if tag in told:
            client.set_model_version_tag(CANDIDATES, "2", tag, told[tag])
        else:
            client.delete_model_version_tag(CANDIDATES, "2", tag)
    assert run(settings).agrees


def test_a_version_to_go_back_to_without_its_tags_is_refused(replaced: Home) -> None:
    use_case, settings = replaced
    mlflow(settings).delete_model_version_tag(CANDIDATES, "1", FEATURES)
    before = kinds(settings)
    with pytest.raises(ChampionUnresolved, match=f"others, or none: {FEATURES}"):
        rollback(use_case, settings, actor="olga", reason="why", as_of=machines.at(57))
    assert kinds(settings) == before


@pytest.mark.parametrize("shown", [None, "0:ff"])
def test_attack_the_digest_beside_the_alias_is_taken_away(
    shown: str | None, replaced: Home
) -> None:
    """A ledger written anew would then be published as the newest by the daily reconciliation."""
    _, settings = replaced
    found = champion_alias.standing(settings, "machines")
    assert found is not None
    if shown is None:
        mlflow(settings).delete_model_version_tag("machines", found.version, champion_alias.ANCHOR)
    else:
        tag = champion_alias.ANCHOR
        mlflow(settings).set_model_version_tag("machines", found.version, tag, shown)
    with pytest.raises(ChampionUnresolved, match="headframe reconcile machines --repair"):
        champion.resolve(settings, "machines")
    daily = run(settings, "freeze")
    assert ([f.what for f in daily.left], daily.done) == (["anchor"], ())
    still = champion_alias.standing(settings, "machines")
    assert still is not None
    assert still.anchor is None
    assert run(settings, "repair").agrees
    assert standing(settings) == "2"


def test_the_only_champion_is_lost_and_a_new_one_is_reached(promoted: Home) -> None:
    use_case, settings = promoted
    settings.users_file.write_text('[users]\nolga = ["operator"]\n')

    def end(reason: str = "lost with its disk", actor: str = "olga") -> Reconciled:
        return retire(use_case, settings, as_of=machines.at(57), actor=actor, reason=reason)

    with pytest.raises(PromotionRefused, match="a champion that is frozen"):
        end()
    mlflow(settings).delete_model_version(CANDIDATES, "1")
    for asked in ({"reason": " "}, {"actor": "sam"}):
        with pytest.raises(PromotionRefused):
            end(**asked)
    ended = end()
    assert ended.agrees
    assert ended.done[0] == "machines: version 1 is retired; there is no champion"
    assert kinds(settings)[-2:] == [("frozen", "1", "olga"), ("retired", "1", "olga")]
    assert champion.resolve(settings, "machines") is None
    assert champion_alias.standing(settings, "machines") is None
    assert (end().done, kinds(settings)[-1][0]) == ((), "retired"), "once"
    with pytest.raises(PromotionRefused, match="none: the last one was retired"):
        rollback(use_case, settings, actor="olga", reason="why", as_of=machines.at(58))
    with pytest.raises(PromotionRefused, match="the present champion, none"):
        promote(use_case, settings, version="2", as_of=machines.at(58))
    another = machines.declare(settings, machines.Variant(strength=0.5))
    train(another, settings, as_of=machines.at(50), run="test", requester="sam")
    judged = evaluate(another, settings, version="3")
    assert judged.promotable, judged.describe()
    assert judged.evidence.champion is None
    promote(another, settings, version="3", as_of=machines.at(58))
    assert standing(settings) == "3"
    assert run(settings).agrees


def test_a_retired_version_that_is_found_again_is_not_promoted_on_what_it_had(
    promoted: Home,
) -> None:
    use_case, settings = promoted
    settings.users_file.write_text('[users]\nolga = ["operator"]\n')
    mlflow(settings).set_model_version_tag(CANDIDATES, "1", TAG, "ff")
    whole = decisions.artifact(settings, "machines", "1")
    retire(use_case, settings, as_of=machines.at(57), actor="olga", reason="other files")
    mlflow(settings).set_model_version_tag(CANDIDATES, "1", TAG, whole)
    with pytest.raises(PromotionRefused, match="before olga retired it: other files"):
        promote(use_case, settings, version="1", as_of=machines.at(58))
    with pytest.raises(ChampionUnresolved, match="retired by olga"):
        champion.pinned(settings, "machines", "1")


def test_a_frozen_champion_that_was_restored_is_used_again_when_somebody_says_so(
    replaced: Home,
) -> None:
    _, settings = replaced
    file = files_of_champion(settings)
    whole = file.read_bytes()
    change_files(settings)
    run(settings, "freeze")
    file.write_bytes(whole)
    assert_golden("reconcile/frozen", run(settings).describe().replace(_digests(settings), "..."))
    with pytest.raises(ChampionUnresolved, match="frozen by olga"):
        champion.resolve(settings, "machines")
    assert not run(settings, "freeze").agrees, "nobody has said so yet"
    repaired = run(settings, "repair")
    assert (repaired.done, repaired.agrees) == (("machines: the champion is repaired",), True)
    assert standing(settings) == "2"
    assert kinds(settings)[-2:] == [("frozen", "2", "olga"), ("repaired", "2", "olga")]


def _digests(settings: Settings) -> str:
    """Return the part of the reason that names digests, which differ from run to run."""
    (frozen,) = [e.decision for e in decisions.read_all(settings) if e.decision.kind == "frozen"]
    return frozen.reason


def test_an_earlier_champion_that_is_gone_is_told_and_stops_nothing(replaced: Home) -> None:
    _, settings = replaced
    mlflow(settings).delete_model_version(CANDIDATES, "1")
    found = run(settings, "repair")
    assert [(f.what, f.stops) for f in found.left] == [("earlier champion 1", False)]
    assert standing(settings) == "2"


def test_a_promotion_that_was_cut_off_is_finished(promoted: Home) -> None:
    _, settings = promoted
    say(settings, "promoting", "2")
    assert_golden("reconcile/unfinished_promotion", run(settings).describe())
    assert run(settings, "repair").agrees
    assert (standing(settings), kinds(settings)[-1]) == ("2", ("promoted", "2", "gates"))
    told = [entry.decision.as_of for entry in decisions.read_all(settings)[-2:]]
    assert told == [machines.at(50), machines.at(56)], "it became champion when it was finished"


def test_a_promotion_that_cannot_be_finished_is_given_up(promoted: Home) -> None:
    _, settings = promoted
    say(settings, "promoting", "2")
    mlflow(settings).delete_model_version(CANDIDATES, "2")
    assert [finding.remedy for finding in run(settings).left] == ["undo"]
    assert run(settings, "repair").agrees
    assert (standing(settings), kinds(settings)[-1]) == ("1", ("undone", "2", "olga"))


def test_a_promotion_that_goes_on_after_it_was_given_up_ends_nothing(promoted: Home) -> None:
    _, settings = promoted
    say(settings, "promoting", "2")
    begun = decisions.read_all(settings)[-1].decision
    undone_at, late = machines.at(51), machines.at(52)
    champion_moves.undo(settings, begun, actor="olga", reason="it hung", as_of=undone_at)
    assert decisions.read_all(settings)[-1].decision.as_of == undone_at
    model = mlflow_registry.candidate(settings, "machines", "2")
    with pytest.raises(ChampionUnresolved, match="another decision, which came in between"):
        champion_moves.finish(settings, begun, model, as_of=late)
    assert run(settings).agrees, "the alias was not moved"
    assert standing(settings) == "1"


def test_a_roll_back_that_was_cut_off_is_finished_and_never_given_up(replaced: Home) -> None:
    use_case, settings = replaced
    say(settings, "rolling_back", "1")
    with pytest.raises(ChampionUnresolved, match="roll back to version 1 to be finished"):
        champion.resolve(settings, "machines")
    with pytest.raises(ChampionUnresolved, match="roll back to version 1 to be finished"):
        promote(use_case, settings, version="2", as_of=machines.at(56))
    assert run(settings, "repair").agrees
    assert (standing(settings), kinds(settings)[-1][:2]) == ("1", ("rolled_back", "1"))


def test_a_roll_back_to_a_version_that_is_gone_needs_another_one(replaced: Home) -> None:
    _, settings = replaced
    say(settings, "rolling_back", "1")
    mlflow(settings).delete_model_version(CANDIDATES, "1")
    found = run(settings, "repair")
    assert [f.what for f in found.left] == ["unfinished", "earlier champion 1"]
    assert_golden("reconcile/unfinished_roll_back", found.describe())


@pytest.mark.parametrize("name", ["a version changed", "the last removed", "the first removed"])
def test_a_ledger_changed_by_hand_is_named_and_nothing_is_written(
    name: str, replaced: Home
) -> None:
    _, settings = replaced
    if name == "the last removed":
        _rewrite(settings, _rows(settings)[:-1])
    else:
        TAMPERINGS[name](settings)
    version = delta_tables.version(lake.ledger(settings, "decisions"))
    found = run(settings, "repair")
    assert [f.what for f in found.left] == ["ledger"]
    assert "an unbroken chain of digests" in found.describe()
    assert found.done == ()
    assert delta_tables.version(lake.ledger(settings, "decisions")) == version


def _rows(settings: Settings) -> list[dict[str, object]]:
    rows = delta_tables.read(lake.ledger(settings, "decisions")).to_pylist()
    return sorted(rows, key=lambda row: row["sequence"])


def _rewrite(settings: Settings, rows: list[dict[str, object]]) -> None:
    path = lake.ledger(settings, "decisions")
    written = pa.Table.from_pylist(rows, schema=delta_tables.schema(path))
    delta_tables.commit_rows(path, written, transactions={}, metadata={}, replace="true")


def test_a_ledger_written_anew_with_every_digest_right_is_found_by_what_was_published(
    replaced: Home,
) -> None:
    use_case, settings = replaced
    entries, previous = decisions.read_all(settings), ""
    forged = []
    for entry in entries:
        fields = {name: getattr(entry.decision, name) for name in Decision.__slots__}
        changed = {**fields, "actor": "eve"} if entry.sequence == 1 else fields
        made = chained(entry.sequence, Decision(**changed), previous)
        previous = made.digest
        row = {"sequence": made.sequence, "previous": made.previous, "digest": made.digest}
        forged.append({**changed, **row})
    _rewrite(settings, forged)
    assert decisions.read_all(settings)[0].decision.actor == "eve", "the chain itself is whole"
    with pytest.raises(LakeError, match="a chain written anew"):
        champion.resolve(settings, "machines")
    found = run(settings, "repair")
    assert ([f.what for f in found.left], found.done) == (["ledger"], ())
    with pytest.raises(LakeError, match="a chain written anew"):
        rollback(use_case, settings, actor="olga", reason="why", as_of=machines.at(57))
    with pytest.raises(LakeError, match="a chain written anew"):
        promote(use_case, settings, version="2", as_of=machines.at(57))


def test_looking_changes_nothing_and_where_all_agrees_the_newest_entry_is_published(
    replaced: Home,
) -> None:
    _, settings = replaced
    say(settings, "probation_passed", "2")
    entries = decisions.read_all(settings)
    older = champion_alias.standing(settings, "machines")
    looked = run(settings)
    assert looked.describe() == "machines: ledger, alias and artifacts agree"
    assert champion_alias.standing(settings, "machines") == older
    assert run(settings, "freeze").agrees
    newer = champion_alias.standing(settings, "machines")
    assert newer is not None
    assert newer.anchor == decisions.newest(entries) != (older.anchor if older else None)
    assert decisions.read_all(settings) == entries
