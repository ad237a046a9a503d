"""Impact: every prediction, model and consumer that a bad file, table version or model reached."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.domain.trace import FileSeen, OutputSeen
from pipelines.errors import Problem

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTION = "prediction"
GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedWindow:
    """One generation of a window and the predictions in it that would be other.

    ``affected`` has the entity's key, ``prediction`` and, of a file or table version, ``changed``
    (the features that differ) and ``gone`` (whether there would be no such row). ``unmade`` counts
    entities that would have been scored and were not, ``refused`` those that got no prediction and
    whose feature row would be another, ``rows`` all predictions of the generation.
    """

    window: str
    scored_for: datetime
    generation: int
    current: bool
    model_versions: tuple[str, ...]
    rows: int
    affected: "pa.Table"
    unmade: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedModel:
    """A model that would have been trained or judged on other rows.

    ``exact``: of the ``rows`` it was trained on, ``features`` would have other features, ``labels``
    another label, ``lost`` would not have been among them; ``added`` would have been besides.
    ``held_out`` counts all of these among the rows it was judged on. Not ``exact``: its feature view
    is not the declared one any more, so its rows cannot be computed again; that the table versions it
    recorded hold the rows asked about is all that is known.
    """

    version: str
    exact: bool
    rows: int = 0
    features: int = 0
    labels: int = 0
    lost: int = 0
    added: int = 0
    held_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What was asked about, and everything that it reached; nothing else is listed.

    ``looked_at`` counts the generations that were compared. ``uncertain`` names windows whose
    feature view is not the declared one any more: what they saw cannot be computed again. Nor can
    that of the ``unreadable``: silver was rewritten since, and what it held before was removed.
    """

    use_case: str
    about: str
    files: tuple[FileSeen, ...]
    windows: tuple[AffectedWindow, ...]
    models: tuple[AffectedModel, ...]
    outputs: tuple[OutputSeen, ...]
    looked_at: int
    uncertain: tuple[str, ...]
    unreadable: tuple[str, ...]
    broken: tuple[Problem, ...]

    @property
    def predictions(self) -> int:
        """Predictions that would be other, in every generation."""
        return sum(window.affected.num_rows for window in self.windows)

    @property
    def current(self) -> int:
        """Those of them that stand."""
        return sum(window.affected.num_rows for window in self.windows if window.current)
