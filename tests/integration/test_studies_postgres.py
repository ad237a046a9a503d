"""Studies in PostgreSQL: where tasks run on workers of several machines."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.adapters.models import studies
from pipelines.adapters.models.studies import Study
from pipelines.adapters.settings import Settings
from pipelines.domain.search import SearchPlan
from pipelines.domain.search_space import LogUniform
from pipelines.domain.training import Candidate, FeatureColumns
from pipelines.errors import ServiceUnavailable
from tests import postgres
from tests.postgres import Server

pytestmark = pytest.mark.needs_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres.serving() as running:
        # What Airflow has in its own schema, by the names that Optuna would use, too.
        running.run(
            "create table alembic_version (version_num text)", "create table trials (n int)"
        )
        yield running


def trees(columns: FeatureColumns, seed: int, rate: float = 0.1) -> object:
    raise NotImplementedError


PLAN = SearchPlan(
    key="k" * 64,
    candidates=[Candidate("trees", trees, {"rate": LogUniform(0.001, 1.0)})],
    trials=4,
    cpu_seconds=1e9,
    seed=7,
)


def study_on(url: str, folder: Path) -> Study:
    settings = Settings(home=folder, broker="redis://127.0.0.1:1/0", database=url)
    return studies.opened(settings, "shop", PLAN)


def test_tuners_of_two_homes_share_one_search_and_a_dead_ones_trial_is_begun_anew(
    server: Server, tmp_path: Path
) -> None:
    here, there = study_on(server.url, tmp_path / "a"), study_on(server.url, tmp_path / "b")
    first, left = here.next(0), there.next(1)
    assert first is not None
    assert left is not None
    assert (first.place, left.place) == (0, 1)
    assert not first.report(0, 0.5, last=False)
    first.finish(0.5)
    retried = study_on(server.url, tmp_path / "c")
    assert retried.adopt(1) == 1
    begun = retried.next(1)
    assert begun is not None
    assert (begun.place, begun.parameters) == (1, left.parameters)
    begun.finish(0.4)
    while (trial := here.next(0)) is not None:
        trial.finish(0.6)
    assert [(trial.place, trial.state, trial.loss) for trial in there.trials()] == [
        (0, "finished", 0.5),
        (1, "killed", None),
        (1, "finished", 0.4),
        (2, "finished", 0.6),
        (3, "finished", 0.6),
    ]
    assert not (tmp_path / "a" / "studies").exists()


def test_a_database_that_does_not_answer_is_worth_a_retry_and_names_no_password(
    server: Server, tmp_path: Path
) -> None:
    elsewhere = server.url.replace(f":{server.port}/", ":1/")
    with pytest.raises(ServiceUnavailable) as caught:
        study_on(elsewhere, tmp_path)
    assert caught.value.retryable
    assert "s3cr3t" not in str(caught.value)
