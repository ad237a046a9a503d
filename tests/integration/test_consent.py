"""A declaration whose consumers must agree to what changed stands only when they have."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import accepted_declarations, decisions
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import canonical
from pipelines.errors import LakeError, PlatformError, PromotionRefused
from pipelines.stages.accept import accept
from pipelines.stages.consent import consent
from pipelines.use_case import CsvFile, UseCase
from tests import machines
from tests.machines import Variant, at

USERS = """
[users]
ann = ["approver"]
sam = ["data_scientist"]
"""
LISTS = CsvFile(name="lists", consumer="desk", columns=("machine", "p_failed"))
COPY = CsvFile(name="copy", consumer="archive", columns=("machine", "p_failed"))


@pytest.fixture
def settings(machines_template: Path, tmp_path: Path) -> Settings:
    settings = machines.copy_template(machines_template, tmp_path / "home")
    settings.users_file.write_text(USERS)
    return settings


def with_outputs(settings: Settings, *outputs: CsvFile) -> UseCase:
    use_case = machines.declare(settings, Variant(tier="governed"))
    assert use_case.scoring is not None
    return replace(use_case, scoring=replace(use_case.scoring, outputs=list(outputs)))


def accepted(settings: Settings, use_case: UseCase) -> bool:
    return accept(use_case, settings, actor="sam", as_of=at(50)).changed


def agreed(
    settings: Settings, use_case: UseCase, consumer: str = "desk", actor: str = "ann"
) -> bool:
    given = consent(
        use_case, settings, consumer=consumer, actor=actor, reason="their mail of May", as_of=at(50)
    )
    return given.changed


def test_a_change_that_consumers_see_stands_when_each_of_them_has_agreed(
    settings: Settings,
) -> None:
    assert accepted(settings, with_outputs(settings, LISTS, COPY))
    narrower = replace(LISTS, columns=("machine",)), replace(COPY, columns=("machine",))
    changed = with_outputs(settings, *narrower)
    for consumer, asked in (("desk", ["desk", "archive"]), ("archive", ["archive"])):
        with pytest.raises(PlatformError) as caught:
            accepted(settings, changed)
        expected = [problem.expected for problem in caught.value.problems]
        assert [text.split()[3] for text in expected] == asked
        assert all("p_failed no longer comes" in text for text in expected)
        assert agreed(settings, changed, consumer)
        assert not agreed(settings, changed, consumer), "once"
    assert accepted(settings, changed)
    kinds = [entry.decision.kind for entry in decisions.read_all(settings)]
    assert kinds == ["accepted", "consented", "consented", "accepted"]


def test_a_consent_is_to_exactly_one_declaration(settings: Settings) -> None:
    assert accepted(settings, with_outputs(settings, LISTS))
    assert agreed(settings, with_outputs(settings, replace(LISTS, columns=("machine",))))
    with pytest.raises(PlatformError, match="the consent of desk"):
        accepted(settings, with_outputs(settings, replace(LISTS, columns=("p_failed",))))


def test_a_change_that_nobody_sees_needs_no_consent(settings: Settings) -> None:
    assert accepted(settings, with_outputs(settings, LISTS))
    assert accepted(settings, with_outputs(settings, LISTS, COPY))
    assert accepted(settings, replace(with_outputs(settings, LISTS, COPY), purpose="Another."))


@pytest.mark.parametrize(
    ("consumer", "actor", "error", "said"),
    [
        ("nobody", "ann", PlatformError, r"the changes concern \(desk\)"),
        ("desk", "sam", PromotionRefused, "a user with role operator or approver"),
    ],
)
def test_only_a_consumer_who_is_concerned_agrees_and_only_an_approver_says_so(
    settings: Settings, consumer: str, actor: str, error: type[Exception], said: str
) -> None:
    assert accepted(settings, with_outputs(settings, LISTS))
    changed = with_outputs(settings, replace(LISTS, columns=("machine",)))
    with pytest.raises(error, match=said):
        agreed(settings, changed, consumer, actor)
    with pytest.raises(PlatformError, match="the consent of desk"):
        accepted(settings, changed)


def test_a_text_that_was_changed_by_hand_is_not_the_one_that_was_accepted(
    settings: Settings,
) -> None:
    use_case = with_outputs(settings, LISTS)
    assert accepted(settings, use_case)
    table = lake.ledger(settings, "declarations")
    rows = delta_tables.read(table)
    place = rows.schema.get_field_index("declared")
    text = rows["declared"][0].as_py().replace('"desk"', '"else"')
    import deltalake

    forged = rows.set_column(place, rows.schema.field(place), pa.array([text], pa.string()))
    deltalake.write_deltalake(str(table), forged, mode="overwrite")
    with pytest.raises(LakeError, match="changed by hand"):
        accepted_declarations.compared(settings, use_case.name, canonical(use_case))
