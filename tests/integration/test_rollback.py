"""Roll back: an earlier champion takes over in one step, and what it replaced does not come back."""

import dataclasses
from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from pipelines.adapters.models import champion, champion_alias, decisions, rollbacks
from pipelines.adapters.settings import Settings
from pipelines.domain.features import feature_digest
from pipelines.errors import ChampionUnresolved, HeadframeError, PromotionRefused
from pipelines.stages.history import in_production
from pipelines.stages.promote import promote
from pipelines.stages.rollback import rollback
from pipelines.use_case import TrainedUseCase, UseCase, load
from tests import machines
from tests.goldens import assert_golden
from tests.integration.test_decisions import begin

Home = tuple[UseCase, Settings]


def back(
    home: Home, *, actor: str = "olga", reason: str = "it harms", to: str = "", leave: str = ""
) -> str:
    use_case, settings = home
    done = rollback(
        use_case,
        settings,
        actor=actor,
        reason=reason,
        as_of=machines.at(55),
        to=to or None,
        away_from=leave or None,
    )
    return done.describe()


def standing(settings: Settings) -> str:
    found = champion.resolve(settings, "machines")
    assert found is not None
    return found.model.version


def kinds(settings: Settings) -> list[tuple[str, str, str]]:
    found = [entry.decision for entry in decisions.read_all(settings)]
    return [(d.kind, d.version, d.actor) for d in found]


def test_one_step_makes_the_champion_before_the_champion_again(replaced: Home) -> None:
    _, settings = replaced
    before = kinds(settings)
    assert back(replaced) == "champion is version 1, back from version 2"
    assert kinds(settings) == [
        *before, ("rolling_back", "1", "olga"), ("rolled_back", "1", "olga"),
    ]  # fmt: skip
    found = champion.resolve(settings, "machines")
    assert found is not None
    assert (found.model.version, found.promoted.reason) == ("1", "it harms")
    alias = champion_alias.standing(settings, "machines")
    assert alias is not None
    assert alias.run_id == found.model.run_id


def test_a_version_rolled_back_from_is_neither_promoted_nor_scored_with_again(
    replaced: Home,
) -> None:
    use_case, settings = replaced
    back(replaced)
    with pytest.raises(PromotionRefused) as caught:
        promote(use_case, settings, version="2", as_of=machines.at(56))
    assert_golden("champion/promote_withdrawn", str(caught.value))
    with pytest.raises(ChampionUnresolved) as unscored:
        champion.pinned(settings, "machines", "2")
    assert_golden("champion/pinned_withdrawn", str(unscored.value))
    assert champion.once(settings, "machines", "2").model.version == "2"
    assert standing(settings) == "1"


def declare_another_view(home: Home) -> None:
    machines.declare(home[1], machines.Variant(more_features=", a.load * 2 as twice"))


def delete_version(home: Home) -> None:
    MlflowClient(home[1].mlflow_uri).delete_model_version("machines-candidates", "1")


def change_tag(home: Home) -> None:
    MlflowClient(home[1].mlflow_uri).set_model_version_tag(
        "machines-candidates", "1", "headframe.artifact_sha256", "ff"
    )


def remove_files(home: Home) -> None:
    artifacts = home[1].mlflow_artifacts
    artifacts.rename(artifacts.with_name("moved"))


def change_files(home: Home) -> None:
    for file in home[1].mlflow_artifacts.glob("**/model.skops"):
        file.write_bytes(file.read_bytes() + b"\n")


def nothing(home: Home) -> None:
    del home


REFUSED: dict[str, tuple[Callable[[Home], None], dict[str, str]]] = {
    "who": (nothing, {"actor": "sam"}),
    "no_reason": (nothing, {"reason": "  "}),
    "never_champion": (nothing, {"to": "7"}),
    "itself": (nothing, {"to": "2"}),
    "other_view": (declare_another_view, {}),
    "deleted": (delete_version, {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_roll_back_is_refused_before_anything_is_written(name: str, replaced: Home) -> None:
    _, settings = replaced
    spoil, asked = REFUSED[name]
    spoil(replaced)
    before = kinds(settings)
    as_deployed = load(settings.dags / "machines.py"), settings
    with pytest.raises(HeadframeError) as caught:
        back(as_deployed, **asked)
    assert_golden(f"rollback/{name}", str(caught.value))
    assert kinds(settings) == before
    assert standing(settings) == "2"


SPOILT: dict[str, Callable[[Home], None]] = {
    "the artifact that was promoted": change_tag,
    "none to be had": remove_files,
    "changed after registration": change_files,
}


@pytest.mark.parametrize("says", SPOILT)
def test_a_version_whose_files_are_gone_or_changed_is_not_gone_back_to(
    says: str, replaced: Home
) -> None:
    before = kinds(replaced[1])
    SPOILT[says](replaced)
    with pytest.raises(ChampionUnresolved, match=says):
        back(replaced)
    assert kinds(replaced[1]) == before


def test_from_the_first_champion_there_is_nothing_to_go_back_to(replaced: Home) -> None:
    back(replaced)
    with pytest.raises(PromotionRefused) as caught:
        back(replaced)
    assert_golden("rollback/nothing_before", str(caught.value))
    with pytest.raises(PromotionRefused) as withdrawn:
        back(replaced, to="2")
    assert_golden("rollback/withdrawn", str(withdrawn.value))
    assert standing(replaced[1]) == "1"


def test_the_same_command_twice_is_one_step_back_and_a_further_one_is_asked_for(
    replaced: Home,
) -> None:
    _, settings = replaced
    judged = decisions.evaluation(settings, "machines", "2")
    assert judged is not None
    for kind in ("evaluated", "promoting", "promoted"):
        third = dataclasses.replace(judged, kind=kind, version="3", as_of=machines.at(52))
        decisions.append(settings, lambda _, third=third: third)  # type: ignore[misc]
    assert back(replaced) == "champion is version 2, back from version 3"
    with pytest.raises(PromotionRefused) as caught:
        back(replaced)
    assert_golden("rollback/already_back", str(caught.value))
    assert back(replaced, leave="3") == "champion is version 2, back from version 3 (already)"
    assert standing(settings) == "2"
    assert back(replaced, leave="2") == "champion is version 1, back from version 2"
    assert standing(settings) == "1"


def test_one_that_was_cut_off_is_finished_by_the_same_command_when_that_is_given(
    replaced: Home,
) -> None:
    use_case, settings = replaced
    told = champion.told_of(settings, "machines").before
    assert told is not None
    begun = dataclasses.replace(told, kind="rolling_back", actor="olga", as_of=machines.at(52))
    decisions.append(settings, lambda _: begun)
    assert back(replaced) == "champion is version 1, back from version 2"
    entries = decisions.read_all(settings)
    assert [entry.decision.as_of for entry in entries[-2:]] == [machines.at(52), machines.at(55)]
    for day, version in ((54, "2"), (55, "1")):
        found = in_production(settings, use_case.name, at=machines.at(day))
        assert found.version == version
    stopped = in_production(settings, use_case.name, at=machines.at(54)).stopped
    assert stopped == "version 1 was about to take over"


def test_one_that_says_which_champion_it_means_steps_back_once(replaced: Home) -> None:
    use_case, settings = replaced
    parts = TrainedUseCase.of(use_case)
    asked = rollbacks.Asked(
        use_case="machines",
        actor="headframe",
        reason="worse in its probation",
        as_of=machines.at(55),
        features=feature_digest(parts.features, parts.label),
        away_from="2",
    )
    first, second = rollbacks.roll_back(settings, asked), rollbacks.roll_back(settings, asked)
    assert (first.version, first.withdrawn, first.changed) == ("1", "2", True)
    assert (second.version, second.withdrawn, second.changed) == ("1", "2", False)
    assert len([kind for kind, _, _ in kinds(settings) if kind == "rolled_back"]) == 1


def test_a_roll_back_waits_for_an_unfinished_promotion(promoted: Home) -> None:
    use_case, settings = promoted
    settings.users_file.write_text('[users]\nolga = ["operator"]\n')
    promote(use_case, settings, version="2", as_of=machines.at(50))
    begin(settings, "2")
    with pytest.raises(ChampionUnresolved) as caught:
        back(promoted)
    assert_golden("rollback/unfinished_promotion", str(caught.value))
