"""Impact tree: what something reached, as the terminal shows it."""

from rich.text import Text
from rich.tree import Tree

from pipelines.domain.feature_differences import CHANGED
from pipelines.domain.impact import GONE, PREDICTION, AffectedWindow, Impact
from pipelines.domain.trace import key_text
from pipelines.domain.trace_text import difference, file_lines, model_line, shown

MOST_WINDOWS = 30
MOST_KEYS = 3
"""Windows, and predictions of each, that are shown; --json has all."""


def tree(found: Impact) -> Tree:
    """Return the tree: files, predictions by window, models, consumers."""
    root = Tree(Text(f"{found.use_case}: impact of {found.about}", style="bold"))
    for file in found.files:
        branch = root.add(Text(file.name))
        for line in file_lines(file):
            branch.add(Text(line))
    said = (
        f"{found.predictions:,} predictions, {found.current:,} of them current, in "
        f"{len(found.windows):,} of {found.looked_at:,} generations"
    )
    windows = root.add(Text(said if found.windows else f"no prediction ({found.looked_at:,} "
                            "generations looked at)"))  # fmt: skip
    for window in found.windows[:MOST_WINDOWS]:
        _window(windows, window)
    if (more := len(found.windows) - MOST_WINDOWS) > 0:
        windows.add(Text(f"... and {more:,} more; --json and --page have all"))
    for name in found.uncertain:
        windows.add(Text(f"{name}: perhaps; its feature view is not declared any more"))
    for name in found.unreadable:
        windows.add(Text(f"{name}: perhaps; silver's versions that it was scored from are gone"))
    models = root.add(Text(f"models: {len(found.models):,}" if found.models else "no model"))
    for model in found.models:
        models.add(Text(model_line(model)))
    outputs = root.add(Text(f"deliveries to consumers: {len(found.outputs):,}" if found.outputs
                            else "no recorded delivery to a consumer"))  # fmt: skip
    for output in found.outputs:
        maybe = "" if output.certain else " if they were on the list: its file is gone"
        outputs.add(
            Text(
                f"{output.consumer}: {output.kind} {output.output} of {output.window}, generation "
                f"{output.generation}, {shown(output.delivered_at)}: {output.rows:,} rows{maybe}"
            )
        )
    return root


def _window(windows: Tree, window: AffectedWindow) -> None:
    standing = "current" if window.current else "replaced"
    unmade = f"; {window.unmade:,} that would have been made" if window.unmade else ""
    if window.refused:
        unmade += f"; {window.refused:,} refused whose feature row would be another"
    branch = windows.add(
        Text(
            f"{window.window}, generation {window.generation} ({standing}), model "
            f"{', '.join(window.model_versions)}: {window.affected.num_rows:,} of "
            f"{window.rows:,}{unmade}"
        )
    )
    for row in window.affected.slice(0, MOST_KEYS).to_pylist():
        differs = difference(row.pop(CHANGED, None), gone=row.pop(GONE, None))
        said = f"prediction {row.pop(PREDICTION):.6g}"
        branch.add(Text(f"{key_text(row)} {said}{': ' if differs else ''}{differs}"))
    if (more := window.affected.num_rows - MOST_KEYS) > 0:
        branch.add(Text(f"... and {more:,} more"))
