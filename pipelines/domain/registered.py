"""Registered: the recorded facts of one model version, as its card and a comparison tell them."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.domain.evidence import Evidence
from pipelines.domain.reproduction import Reproduced
from pipelines.domain.search_space import Parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A decision about a version, such as "requested", "approved" or "rolled_back".

    The first entry of a move ("promoting", "rolling_back") is none. ``sequence`` is its place in
    the ledger, ``as_of`` ISO 8601 in UTC.
    """

    sequence: int
    kind: str
    actor: str
    as_of: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registered version: what it was made from, what it needs, what was found and decided.

    Windows are (first, last) ISO dates. ``numeric`` and ``categorical`` are the features, in the
    order of the matrix. ``candidate`` is empty for a version of a release that did not record it;
    ``evidence`` is None until the gates judged it. ``positive_share`` is that of the training rows;
    where the label is a number it is None, and ``typical`` the baseline's number with its unit.
    ``requirements`` are pinned packages, sorted. ``cause`` is what called for its training; empty
    for a version of a release that did not record it. ``reproductions`` are the times it was made
    again, oldest first.
    """

    use_case: str
    version: str
    run_id: str
    as_of: str
    requester: str
    reason: str
    candidate: str
    parameters: Mapping[str, Parameter]
    searched: str
    training_window: tuple[str, str]
    held_out_window: tuple[str, str]
    positive_share: float | None
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    data_versions: Mapping[str, int]
    digests: Mapping[str, str]
    requirements: tuple[str, ...]
    evidence: Evidence | None
    decisions: tuple[Answered, ...]
    reproductions: tuple[Reproduced, ...] = ()
    typical: str = ""
    cause: str = ""

    @property
    def features(self) -> dict[str, str]:
        """Each feature's type, "number" or "text", in the order of the matrix."""
        return {**dict.fromkeys(self.numeric, "number"), **dict.fromkeys(self.categorical, "text")}
