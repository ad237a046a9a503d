"""Trace tree: a trace as the terminal shows it, from the prediction down to landed rows."""

from collections.abc import Iterable

from rich.text import Text
from rich.tree import Tree

from pipelines.domain.trace import Trace, key_text
from pipelines.domain.trace_text import NOT_STORED, SHORT, file_lines, said, shown, source_line

MOST_SOURCES = 40
"""Landed files shown; --json and the page have all."""


def tree(found: Trace) -> Tree:
    """Return the tree. Values of rows appear for the asked key, its prediction and features alone."""
    prediction = found.prediction
    told = f"prediction {said(prediction)}"
    if prediction.rule:
        told += f" (model {prediction.raw_prediction:.6g}, changed by {prediction.rule})"
    standing = "current" if prediction.current else f"replaced: {prediction.replaced_because}"
    root = Tree(_line(f"{found.use_case} {key_text(found.key)}", told, "bold"))
    _add(
        root.add(_line("window", f"{prediction.window}, generation {prediction.generation}")),
        standing,
        f"scored as of {shown(prediction.as_of)}; event at {shown(prediction.event_time)}",
        f"run {prediction.run or 'not recorded'}; run key {prediction.run_key[:SHORT]}",
        f"declaration {prediction.declaration_digest[:SHORT]}",
        *(
            [f"STALE when it was scored: {', '.join(prediction.stale_tables)}"]
            if prediction.stale_tables
            else []
        ),
        *(
            f"generation {other.generation}: {said(other)} by model {other.model_version}"
            + (" (current)" if other.current else f" (replaced: {other.replaced_because})")
            for other in found.others
        ),
    )
    _model(root, found)
    _features(root, found)
    _sources(root, found)
    outputs = root.add(_line("delivered to", "" if found.outputs else "no output recorded"))
    for output in found.outputs:
        maybe = "" if output.certain else " (if it was on the list: its file is gone)"
        when = f", {shown(output.delivered_at)}" if output.delivered_at else ""
        outputs.add(Text(f"{output.consumer}: {output.kind} {output.output}{when}{maybe}"))
    return root


def _model(root: Tree, found: Trace) -> None:
    model = found.model
    branch = root.add(_line("model", found.prediction.model_version))
    if model is not None:
        _add(
            branch,
            f"MLflow run {model.run_id}; artifact {model.artifact_sha256[:SHORT]}",
            f"trained as of {model.trained_as_of} on {' to '.join(model.training_window)}, "
            f"asked for by {model.requester}",
            f"code {model.code_digest[:SHORT]}; declaration {model.declaration_digest[:SHORT]}",
        )
        data = branch.add("training data")
        _add(data, *(f"{name} version {number}" for name, number in model.data_versions.items()))
    evidence = branch.add(_line("evidence", found.evidence_digest[:SHORT]))
    _add(evidence, *(f"{gate.outcome:>14}  {gate.gate}: {gate.reason}" for gate in found.gates))
    decisions = branch.add(
        _line("decided", "" if found.approvals else "by the gates, without a person")
    )
    for decision in found.decisions:
        why = f": {decision.reason}" if decision.reason and decision.kind != "evaluated" else ""
        _add(decisions, f"{shown(decision.as_of)} {decision.kind} by {decision.actor}{why}")


def _features(root: Tree, found: Trace) -> None:
    row = found.feature_row
    if row is None:
        root.add("feature row: not found")
        return
    version = f" version {row.version}" if row.version is not None else ""
    branch = root.add(_line("feature row", f"{row.table}{version}, view {row.view[:SHORT]}"))
    if not row.stored:
        branch.add(Text(NOT_STORED))
    for name, value in row.features.items():
        other = "  (computed again: another value)" if name in row.differs_in else ""
        branch.add(Text(f"{name} = {value}{other}"))
    if found.recorded:
        silver = ", ".join(f"{name} {number}" for name, number in found.recorded.items())
        branch.add(Text(f"from silver versions: {silver}"))


def _sources(root: Tree, found: Trace) -> None:
    told = "not asked for" if found.files_tried is None else f"{len(found.sources):,}"
    tried = f" of {found.files_tried:,} seen then" if found.files_tried is not None else ""
    branch = root.add(_line("landed files it comes from", told + tried))
    for source in found.sources[:MOST_SOURCES]:
        file = branch.add(Text(f"{source.file.name}: {source_line(source)}"))
        _add(file, *file_lines(source.file))
    if (more := len(found.sources) - MOST_SOURCES) > 0:
        branch.add(Text(f"... and {more:,} more; --json and --page have all"))


def _add(branch: Tree, *lines: str) -> None:
    _add_all(branch, lines)


def _add_all(branch: Tree, lines: Iterable[str]) -> None:
    for line in lines:
        # Text, because a name may hold what rich would read as markup.
        branch.add(Text(line))


def _line(name: str, value: str, style: str = "") -> Text:
    line = Text(f"{name} ", style=style)
    return line.append(value, style="" if style else "cyan")
