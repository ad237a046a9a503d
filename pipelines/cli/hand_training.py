"""Hand training: what `headframe run train` and a notebook do alike."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.adapters.settings import Settings
from pipelines.domain.training import Asked
from pipelines.use_case import UseCase

if TYPE_CHECKING:
    from pipelines.stages.train import Trained


def train_by_hand(
    use_case: UseCase,
    settings: Settings,
    *,
    as_of: datetime,
    run: str,
    asked: Asked,
    told: Callable[[str], object],
    warned: Callable[[str], object],
) -> "Trained":
    """Train for whoever is at the terminal; ``warned`` is called with what they should know first.

    That is a month's budget that is nearly spent, and what a run on schedule would stop for. Raises
    BudgetSpent before anything is learned, and as the stage does.
    """
    from pipelines.stages.afford import afford
    from pipelines.stages.begin_training import obstacles
    from pipelines.stages.train import train

    affordable = afford(use_case, settings, now=datetime.now(UTC), run=run, asked=asked)
    if affordable is not None and affordable.level == "warn":
        warned(affordable.describe())
    for text in obstacles(use_case, settings, as_of=as_of):
        warned(f"training goes on in spite of this: {text}")
    return train(
        use_case,
        settings,
        as_of=as_of,
        run=run,
        requester=getpass.getuser(),
        asked=asked,
        told=told,
    )
