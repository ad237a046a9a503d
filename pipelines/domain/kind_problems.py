"""Kind problems: what does not go with the kind of prediction that a label asks for."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.domain.contract_problems import near, problem
from pipelines.domain.expected_value import EXPECTED, VALUE, Value
from pipelines.domain.gates.calibrated import Calibrated
from pipelines.domain.metric import LOSSES, loss_problem
from pipelines.domain.outputs import Output, TopN, ranked_list
from pipelines.domain.prediction_kinds import Kind
from pipelines.errors import Problem

if TYPE_CHECKING:
    from pipelines.domain.labels import Label
    from pipelines.domain.training import Training


def kind_problems(
    label: "Label",
    *,
    training: "Training | None",
    gates: Sequence[object],
    outputs: Sequence[Output],
    where: str,
) -> Iterator[Problem]:
    """Yield everything that is meant for another kind of prediction than the label's."""
    yield from _label(label, f"{where}, label {label.name!r}")
    if training is not None:
        yield from _training(training, label.kind, f"{where}, training")
    for gate in gates:
        yield from _gate(gate, label.kind, outputs, f"{where}, gate {type(gate).__name__}")
    if label.value is None:
        yield from _outputs(outputs, label, f"{where}, scoring")


def value_problem(where: str, value: Value, numbers: Sequence[str]) -> Problem:
    """Return the problem of a value that is none of the numeric features."""
    return problem(
        f"{where}, value",
        f"a numeric feature ({', '.join(numbers) or 'there is none'})",
        f"{value.column!r}{near(value.column, tuple(numbers))}",
        "Correct the name, or let the feature function return the column as a number.",
    )


def label_problem(label: "Label", kind: str, where: str) -> Problem | None:
    """Return the problem of a label that is a number and has no unit; None where it has none.

    ``kind`` is the type of what the rule gives, as SQL or Arrow call it.
    """
    if label.unit is not None or kind.lower() in {"boolean", "bool"}:
        return None
    return problem(
        f"{where}, rule",
        "a condition, true or false",
        f"{label.rule!r}, which is a {kind.lower()}",
        "Compare it with something, such as 'amount > 0', or give the label the unit of the number "
        "to predict.",
    )


def _label(label: "Label", where: str) -> Iterator[Problem]:
    value: object = label.value  # whatever was declared
    if value is not None and label.unit is not None:
        yield problem(
            where,
            "a value (a ranking) or a unit (a number to predict)",
            "both",
            "Rank a condition by value, or predict a number.",
        )
    if label.unit is not None and not label.unit.strip():
        yield problem(
            f"{where}, unit",
            "what the number counts",
            "nothing",
            "Name it, such as 'minutes': metrics and pages show it.",
        )
    if value is not None and not isinstance(value, Value):
        yield problem(
            f"{where}, value",
            "Value(column, unit)",
            f"a {type(value).__name__}",
            "Write Value('amount', 'USD'): a numeric feature and its unit.",
        )
    if isinstance(value, Value) and not (value.column.strip() and value.unit.strip()):
        yield problem(
            f"{where}, value",
            "a numeric feature and its unit",
            f"Value({value.column!r}, {value.unit!r})",
            "Write Value('amount', 'USD').",
        )


def _training(training: "Training", kind: Kind, where: str) -> Iterator[Problem]:
    for field, allowed in (("loss", kind.losses), ("baseline", kind.baselines)):
        found = getattr(training, field)
        if found not in allowed:
            yield problem(
                f"{where}, {field}",
                f"one of {', '.join(allowed)}, for a label that is {_called(kind)}",
                f"{found!r}{near(found, allowed)}",
                f"Declare {field}={allowed[0]!r}.",
            )


def _gate(gate: object, kind: Kind, outputs: Sequence[Output], where: str) -> Iterator[Problem]:
    if isinstance(gate, Calibrated) and kind.answer != "probability":
        yield problem(
            where,
            "predictions that are probabilities",
            "a label that is a number",
            "Remove the gate: BeatsBaseline('absolute_error', margin=...) judges numbers.",
        )
    metric = getattr(gate, "metric", None)
    if metric not in LOSSES:
        return  # without one, or told by the gate itself
    if found := loss_problem(metric, kind.compared):
        yield problem(
            where,
            f"a loss for a label that is {_called(kind)}",
            found,
            "Judge by another metric.",
        )
    elif metric in kind.of_lists and ranked_list(outputs) is None:
        yield problem(
            where,
            f"a list to judge by {metric}",
            "no TopN(by='expected_value') among the outputs",
            "Declare TopN(10, name=..., consumer=..., by='expected_value').",
        )


def _outputs(outputs: Sequence[Output], label: "Label", where: str) -> Iterator[Problem]:
    for output in outputs:
        if isinstance(output, TopN) and output.by == EXPECTED:
            yield problem(
                f"{where}, output {output.name!r}, by",
                f"a label with a value, to order by {EXPECTED}",
                f"label {label.name!r} without one",
                f"Declare {VALUE}=Value('amount', 'USD') on the label, or order by another column.",
            )


def _called(kind: Kind) -> str:
    return "a number" if kind.answer == "number" else "a condition"
