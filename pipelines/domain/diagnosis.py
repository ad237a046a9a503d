"""Diagnosis: which layer makes a model come out otherwise, found by putting back one at a time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.domain.recipe import Recipe
from pipelines.domain.refitted import Order, Refitted
from pipelines.domain.reproduction import Finding, Layer, compare

if TYPE_CHECKING:
    import numpy as np


def explained(
    recipe: Recipe,
    expected: "np.ndarray",
    first: Refitted,
    findings: Sequence[Finding],
    refit: Callable[[Order], Refitted],
) -> list[Finding]:
    """Return the findings about a fit whose predictions are not ``expected``, the cause first.

    ``refit`` fits again as ordered. Other rows are a cause that cannot be put back; they come first.
    Then threads and seed are put back, one at a time; then the same fit is made once more, to see
    whether it is like itself, on as many threads as recorded, since several may add up in another
    order each time; what then is left is the environment. The first finding is no cause where its
    ``cause`` is False. A fit that was ended from outside ends the search.
    """
    if any(one.layer == "data" for one in findings):
        return _led_by("data", findings)
    declared = recipe.seed if first.declared_seed is None else first.declared_seed
    as_recorded = replace(first.order, threads=recipe.threads)
    back: dict[Layer, Order] = {
        "threads": as_recorded,
        "seed": replace(first.order, seed=declared),
    }
    recorded = first
    tried: list[Finding] = []
    for one in findings:
        if one.layer not in back:
            tried.append(one)
            continue
        again = refit(back[one.layer])
        if again.cut_off:
            return [_cut_off(again), *findings]
        if one.layer == "threads":
            recorded = again
        restored = again.predictions is not None and not (
            compare(expected, again.predictions).differing
        )
        tried.append(replace(one, cause=restored))
    if restoring := [one for one in tried if one.cause]:
        return _led_by(restoring[0].layer, tried)
    twin = refit(as_recorded)
    if twin.cut_off:
        return [_cut_off(twin), *tried]
    if (chance := _by_chance(recorded, twin)) is not None:
        return [chance, *(one for one in tried if one.layer != "seed")]
    return _led_by("environment", tried)


def blamed(findings: Sequence[Finding]) -> Layer:
    """Return the layer of what ``explained`` put first; "unknown" where that is no cause."""
    return findings[0].layer if findings and findings[0].cause is not False else "unknown"


def stopped(first: Refitted, findings: Sequence[Finding]) -> list[Finding]:
    """Return why nothing was fitted, the layer first: unreadable rows, other packages, or the code."""
    around = any(one.layer == "environment" for one in findings)
    layer: Layer = "unknown"
    if first.cut_off or first.error == "MemoryError":
        return [Finding(layer=layer, evidence=first.failure), *_led_by("environment", findings)]
    if first.step == "data":
        layer = "data"
    elif around:
        layer = "environment"
    elif first.step == "code":
        layer = "code"
    return [Finding(layer=layer, evidence=first.failure), *_led_by("environment", findings)]


def _cut_off(again: Refitted) -> Finding:
    """Return that a fit that was to tell the reason was ended from outside."""
    return Finding(layer="unknown", evidence=f"fitting once more, {again.failure}")


def _by_chance(first: Refitted, again: Refitted) -> Finding | None:
    """Return that two fits that were ordered alike differ from each other; None if they do not."""
    if first.predictions is None or again.predictions is None:
        return None
    apart = compare(first.predictions, again.predictions)
    if not apart.differing:
        return None
    evidence = (
        f"two fits alike in everything, with seed {first.order.seed}, differ in "
        f"{apart.differing:,} of {apart.rows:,} probe rows, so the candidate draws at random "
        "without the seed that its build function is given"
    )
    return Finding(layer="seed", evidence=evidence)


def _led_by(layer: Layer, findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, those of a layer first."""
    return sorted(findings, key=lambda one: one.layer != layer)
