"""Reproduction: the layer that differs is named by what was tried, never by what is likely."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from pipelines.domain.diagnosis import blamed, explained, stopped
from pipelines.domain.recipe import Recipe, Surroundings
from pipelines.domain.refitted import DONE, Order, Refitted
from pipelines.domain.reproduction import (
    Compared,
    Finding,
    Reproduced,
    compare,
    data_finding,
    environment_finding,
    environment_notes,
    seed_finding,
    threads_finding,
)
from pipelines.domain.row_marks import column_digests, marked
from pipelines.errors import LakeError, Problem

MORNING = datetime(2026, 1, 5, 4, tzinfo=UTC)

SURROUNDINGS = Surroundings(
    python="3.11.7",
    packages={"numpy": "2.4.6", "scikit-learn": "1.9.1", "ruff": "0.17.5"},
    lock_sha256="a" * 64,
    project_sha256="b" * 64,
    processor="x86_64 Xeon",
)


def rows(*loads: float, label: tuple[bool, ...] | None = None) -> pa.Table:
    return pa.table(
        {
            "machine": [f"A{n:02}" for n in range(len(loads))],
            "as_of": pa.array([MORNING] * len(loads), pa.timestamp("us", tz="UTC")),
            "load": pa.array(loads, pa.float64()),
            "label": pa.array(label or [n % 2 == 0 for n in range(len(loads))]),
        }
    )


TAUGHT = rows(0.5, 0.25, 0.75)

RECIPE = Recipe(
    rows=3,
    columns=column_digests(TAUGHT),
    files={"dags/machines.py": "c" * 64},
    seed=7,
    threads=1,
    surroundings=SURROUNDINGS,
)

VERSIONS = {"gold.features.machines": 4, "silver.machines.outcome": 9}

ORDER = Order(use_case="machines", tags={}, seed=7, threads=1)

EXPECTED = np.array([0.1, 0.2, 0.7])


def refitted(found: pa.Table = TAUGHT, *, order: Order = ORDER) -> Refitted:
    """Return what a process says that read these rows."""
    return Refitted(
        order=order,
        step=DONE,
        declared_seed=7,
        label_table="outcome",
        surroundings=SURROUNDINGS,
        loaded=frozenset({"numpy", "scikit-learn"}),
        columns=column_digests(found),
        marks=marked(found).append_column("key.machine", found["machine"]),
        predictions=EXPECTED,
    )


def fitting(says: Callable[[Order], list[float]]) -> Callable[[Order], Refitted]:
    """Return a fit whose predictions are a function of what was ordered."""
    return lambda order: replace(refitted(order=order), predictions=np.array(says(order)))


def data(found: pa.Table) -> str:
    told = data_finding(RECIPE, refitted(found), marked(TAUGHT), VERSIONS)
    return told.evidence if told else ""


def test_the_table_of_what_differs_is_named_with_version_column_and_row() -> None:
    assert data(TAUGHT) == ""
    assert data(rows(0.5, 0.3, 0.75)) == (
        "gold.features.machines at version 4: load in 1 of 3 rows; "
        "such as (2026-01-05 04:00 UTC, A01)"
    )
    assert data(rows(0.5, 0.25, 0.75, label=(True, True, True))) == (
        "silver.machines.outcome at version 9: label in 1 of 3 rows; "
        "such as (2026-01-05 04:00 UTC, A01)"
    )


def test_rows_that_are_gone_or_moved_are_counted() -> None:
    assert "3 rows were recorded; 1 are gone" in data(TAUGHT.slice(0, 2))
    assert data(TAUGHT.take([1, 0, 2])).endswith(": the same rows in another order")


def test_only_packages_that_the_fit_imports_are_to_blame() -> None:
    found = refitted()
    assert environment_finding(RECIPE, found) is None
    other = replace(SURROUNDINGS, packages={"numpy": "2.3.1", "ruff": "0.18"}, lock_sha256="")
    there = replace(found, surroundings=other)
    told = environment_finding(RECIPE, there)
    assert told == Finding(
        layer="environment",
        evidence="numpy 2.4.6 there, 2.3.1 here, scikit-learn 1.9.1 there, none here",
    )
    assert environment_notes(RECIPE, there) == (
        "lock aaaaaaaaaaaa there, none here",
        "not imported by the fit: ruff 0.17.5 there, 0.18 here",
    )


@pytest.mark.parametrize(
    ("changed", "evidence"),
    [
        (replace(SURROUNDINGS, python="3.12.1"), "Python 3.11.7 there, 3.12.1 here"),
        (replace(SURROUNDINGS, processor="arm64"), "processor x86_64 Xeon there, arm64 here"),
    ],
)
def test_python_and_processor_are_surroundings_too(changed: Surroundings, evidence: str) -> None:
    found = replace(refitted(), surroundings=changed)
    assert environment_finding(RECIPE, found) == Finding(layer="environment", evidence=evidence)


def explain(
    says: Callable[[Order], list[float]], *, order: Order = ORDER, recipe: Recipe = RECIPE
) -> list[Finding]:
    """Return the explanation of a fit that differs, whose rows and packages are those recorded."""
    fit = fitting(says)
    first = fit(order)
    seen = [seed_finding(recipe, first), threads_finding(recipe, first)]
    found = [one for one in seen if one is not None]
    return explained(recipe, EXPECTED, first, found, fit)


def test_threads_are_named_when_the_recorded_number_gives_the_recorded_predictions() -> None:
    found = explain(
        lambda order: [0.1, 0.2, 0.7 if order.threads == 1 else 0.71],
        order=replace(ORDER, threads=4),
    )
    assert found == [Finding(layer="threads", evidence="4 used, 1 recorded", cause=True)]
    assert blamed(found) == "threads"


def test_a_seed_that_was_recorded_wrongly_is_named_when_the_declared_one_does() -> None:
    found = explain(
        lambda order: [0.1, 0.2, order.seed / 10],
        order=replace(ORDER, seed=8),
        recipe=replace(RECIPE, seed=8),
    )
    evidence = "8 recorded, 7 declared in the archive"
    assert found == [Finding(layer="seed", evidence=evidence, cause=True)]


def test_seed_zero_is_put_back_like_any_other() -> None:
    def fit(order: Order) -> Refitted:
        said = np.array([0.1, 0.2, 0.7 + order.seed])
        return replace(refitted(order=order), declared_seed=0, predictions=said)

    recipe = replace(RECIPE, seed=8)
    first = fit(replace(ORDER, seed=8))
    finding = seed_finding(recipe, first)
    assert finding is not None
    found = explained(recipe, EXPECTED, first, [finding], fit)
    assert [(one.layer, one.cause) for one in found] == [("seed", True)]


def test_several_threads_that_never_add_up_alike_are_not_called_a_seed() -> None:
    drawn = iter([0.3, 0.4, 0.5])
    found = explain(
        lambda order: [0.1, 0.2, next(drawn) if order.threads > 1 else 0.9],
        order=replace(ORDER, threads=4),
    )
    assert [(one.layer, one.cause) for one in found] == [("threads", False)]
    # But chance is told where it is there on the recorded number too.
    drawn = iter([0.3, 0.4, 0.5])
    found = explain(lambda _: [0.1, 0.2, next(drawn)], order=replace(ORDER, threads=4))
    assert [one.layer for one in found] == ["seed", "threads"]


@pytest.mark.parametrize("killed", [2, 3])
def test_a_fit_that_was_killed_on_the_way_to_the_reason_blames_no_layer(killed: int) -> None:
    fits = 0

    def fit(order: Order) -> Refitted:
        nonlocal fits
        fits += 1
        if fits == killed:
            return Refitted(order=order, step="fit", ended="killed by signal 9 (SIGKILL)")
        return replace(refitted(order=order), predictions=np.array([0.9, 0.2, 0.7]))

    threads = Finding(layer="threads", evidence="4 used, 1 recorded")
    found = explained(RECIPE, EXPECTED, fit(replace(ORDER, threads=4)), [threads], fit)
    assert (blamed(found), fits) == ("unknown", killed)
    assert found[0].evidence == (
        "fitting once more, its process was killed by signal 9 (SIGKILL) at step 'fit'"
    )


def test_a_fit_that_is_not_like_itself_draws_without_its_seed() -> None:
    drawn = iter([0.3, 0.4, 0.5])
    found = explain(lambda _: [0.1, 0.2, next(drawn)])
    assert blamed(found) == "seed"
    assert found[0].evidence.startswith(
        "two fits alike in everything, with seed 7, differ in 1 of 3"
    )


def test_what_was_put_back_in_vain_is_no_cause() -> None:
    found = explain(lambda _: [0.9, 0.2, 0.7], order=replace(ORDER, threads=4))
    assert [(one.layer, one.cause) for one in found] == [("threads", False)]
    assert blamed(found) == "unknown"
    assert found[0].describe().endswith(": put back, they differ still")


def test_what_is_left_is_the_environment_and_says_that_it_was_not_tried() -> None:
    fit = fitting(lambda _: [0.9, 0.2, 0.7])
    around = Finding(layer="environment", evidence="numpy 2.4.6 there, 2.3.1 here")
    threads = Finding(layer="threads", evidence="4 used, 1 recorded")
    found = explained(RECIPE, EXPECTED, fit(replace(ORDER, threads=4)), [threads, around], fit)
    assert [(one.layer, one.cause) for one in found] == [("environment", None), ("threads", False)]
    assert blamed(found) == "environment"


def test_other_rows_come_before_everything_and_nothing_is_fitted_for_it() -> None:
    def never(_: Order) -> Refitted:
        raise AssertionError

    rows_differ = Finding(layer="data", evidence="one row")
    around = Finding(layer="environment", evidence="numpy")
    found = explained(RECIPE, EXPECTED, refitted(), [around, rows_differ], never)
    assert found == [rows_differ, around]


def test_why_nothing_was_fitted_is_the_step_it_stopped_at() -> None:
    problem = Problem(where="table x/y", expected="version 3", found="none", fix="Restore it.")
    unread = Refitted(order=ORDER, step="data", problems=(problem,))
    assert stopped(unread, [])[0] == Finding(
        layer="data", evidence="table x/y: expected version 3, found none"
    )
    failed = Refitted(order=ORDER, step="fit", error="TypeError")
    around = Finding(layer="environment", evidence="numpy 2.4.6 there, 2.3.1 here")
    assert [one.layer for one in stopped(failed, [around])] == ["environment", "environment"]
    assert stopped(failed, [])[0].layer == "unknown"
    assert stopped(Refitted(order=ORDER, step="code"), [])[0].layer == "code"
    for step in ("code", "data", "fit"):
        killed = Refitted(order=ORDER, step=step, ended="killed by signal 9 (SIGKILL)")
        assert stopped(killed, [around])[0].layer == "unknown"
    full = Refitted(order=ORDER, step="data", error="MemoryError")
    assert stopped(full, [around])[0].layer == "unknown"


def test_one_bit_is_a_difference_and_no_number_equals_itself() -> None:
    nearly = EXPECTED.copy()
    nearly[1] = np.nextafter(nearly[1], 1.0)
    assert compare(EXPECTED, nearly) == Compared(
        rows=3, differing=1, largest=float(nearly[1] - EXPECTED[1])
    )
    missing = np.array([0.1, np.nan, 0.7])
    assert compare(missing, missing.copy()) == Compared(rows=3, differing=0, largest=0.0)


def test_the_answer_reads_as_sentences() -> None:
    answer = Reproduced(
        use_case="machines",
        version="3",
        as_of=MORNING,
        outcome="differs",
        layer="threads",
        findings=(
            Finding(layer="threads", evidence="4 used, 1 recorded", cause=True),
            Finding(layer="environment", evidence="numpy 2.4.6 there, 2.3.1 here"),
        ),
        compared=Compared(rows=1_907, differing=31, largest=3.25e-4),
        threads=4,
        environment="here",
        notes=("lock aaaaaaaaaaaa there, none here",),
    )
    assert answer.describe() == (
        "machines version 3: differs. Fitted again here on 4 threads, it predicts 31 of 1,907 probe "
        "rows otherwise, by up to 0.000325: threads: 4 used, 1 recorded: put back, the predictions "
        "are the recorded ones.\n"
        "  also environment: numpy 2.4.6 there, 2.3.1 here\n"
        "  lock aaaaaaaaaaaa there, none here"
    )


def test_a_recipe_reads_back_as_it_was_and_no_other_format_is_read() -> None:
    assert Recipe.from_plain(json.loads(RECIPE.to_json())) == RECIPE
    assert replace(RECIPE, seed=8).digest != RECIPE.digest
    later = {**RECIPE.to_plain(), "format": 2}
    with pytest.raises(LakeError, match="expected format 1; found that of another release"):
        Recipe.from_plain(later)
    for other in ({}, {"format": 1}, {**RECIPE.to_plain(), "surroundings": None}):
        with pytest.raises(LakeError, match="found something else"):
            Recipe.from_plain(other)
