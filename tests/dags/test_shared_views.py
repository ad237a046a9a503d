"""Shared views under Airflow: the same files, found the same way, with the same identity."""

import sys
from pathlib import Path

import pytest

from pipelines.domain.features import feature_digest
from pipelines.use_case import TrainedUseCase, UseCase, load
from tests import shops
from tests.dags.airflow_runs import read_dags


def test_airflow_reads_use_cases_that_share_a_view_and_knows_their_features_by_the_same_digest(
    dags_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops.declare(dags_folder)
    own = {}
    for name in shops.NAMES:
        parts = TrainedUseCase.of(load(dags_folder / f"{name}.py"))
        own[name] = feature_digest(parts.features, parts.label)
    # A process of Airflow's has not read the files before, and looks on its path alone.
    monkeypatch.setattr(
        sys, "meta_path", [each for each in sys.meta_path if not hasattr(each, "_folder")]
    )
    for known in [name for name in sys.modules if name.split(".")[0] == "shared"]:
        monkeypatch.delitem(sys.modules, known)
    bag = read_dags(dags_folder)
    assert bag.import_errors == {}
    assert {dag_id.split("__")[0] for dag_id in bag.dags} >= set(shops.NAMES)
    found = {}
    for name in shops.NAMES:
        module = next(
            one
            for one in sys.modules.values()
            if getattr(one, "__file__", None) == str(dags_folder / f"{name}.py")
            and isinstance(getattr(one, name, None), UseCase)
            and not one.__name__.startswith("headframe_")
        )
        parts = TrainedUseCase.of(getattr(module, name))
        assert parts.features.uses[0].function.__module__ == "shared.orders"
        found[name] = feature_digest(parts.features, parts.label)
    assert found == own
