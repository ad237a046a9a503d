"""The evidence page: what an approver sees before they decide, in Markdown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.domain.decision import Decision
from pipelines.domain.evidence import Evidence
from pipelines.domain.examination import Examination
from pipelines.domain.metrics import Interval, TooFewBlocks
from pipelines.domain.prediction_kinds import KINDS

ROLES = ("challenger", "champion", "baseline")
"""Rows of the table, in the order a reader compares them."""

MOST_FEATURES = 5
"""Features that the page names."""


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """The question, and the page under it."""

    subject: str
    body: str


def evidence_page(
    evidence: Evidence,
    *,
    run_id: str,
    requester: str,
    reason: str,
    address: str = "",
    asked: str = "",
    rejections: Sequence[Decision] = (),
) -> EvidencePage:
    """Return the question about one candidate, with everything the gates saw of it.

    ``address`` is that of the page with all of the evidence; without one the command is named.
    ``reason`` is the requester's own words, ``asked`` says who may answer, ``rejections`` are those
    of this evidence so far.
    """
    command = f"headframe evidence {evidence.use_case} --version {evidence.challenger}"
    replaces = (
        f"It would replace version **{evidence.champion}**."
        if evidence.champion
        else "It would be the **first** champion."
    )
    trained, held_out = evidence.training_window, evidence.held_out_window
    share = ""
    if KINDS[evidence.kind].answer == "probability":
        share = f", {evidence.positives / evidence.rows if evidence.rows else 0.0:.1%} positive"
    lines = [
        f"**{requester}** asked for it"
        + (f": {_plain(reason)}" if reason else " and gave no reason."),
        "",
        *(line for given in rejections for line in (rejected_before(given), "")),
        f"{replaces} Trained on {trained[0]} to {trained[1]}; judged on "
        f"{held_out[0]} to {held_out[1]}: **{evidence.rows:,} rows**{share}, in "
        f"{len(evidence.blocks)} blocks. In brackets: intervals over blocks.",
        "",
        *_table(evidence),
        "",
        *(
            f"- **{v.outcome.replace('_', ' ')}** {v.gate}: {_plain(v.reason)}"
            for v in evidence.verdicts
        ),
        "",
        *(_beside_the_gates(evidence, evidence.examination) if evidence.examination else ()),
        f"Evidence `{evidence.digest}`",
        "",
        f"[Calibration, segments and all else]({address}) on one page"
        if address
        else f"Calibration, segments and all else: `{command}`",
        "",
        f"MLflow run `{run_id}` (the task train links to it)",
        *(("", asked) if asked else ()),
    ]
    subject = f"Promote {evidence.use_case} version {evidence.challenger}?"
    return EvidencePage(subject=subject, body="\n".join(lines))


def rejected_before(given: Decision) -> str:
    """Return the line of the page that tells of an earlier rejection."""
    return f"**Rejected before** by **{given.actor}**: {_plain(given.reason) or 'no reason given'}"


def _plain(text: str) -> str:
    """Return words of people or of data on one line, in which no sign is Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!~])", r"\\\1", " ".join(text.split()))


def _beside_the_gates(evidence: Evidence, seen: Examination) -> list[str]:
    """Return what no gate asked about, as a list in Markdown."""
    ranked = sorted(seen.importance.items(), key=lambda item: (-item[1], item[0]))[:MOST_FEATURES]
    told = [f"most important: {', '.join(f'{_plain(name)} {share:.0%}' for name, share in ranked)}"]
    if seen.learning_curve:
        points = [f"{point.loss:.4f} ({point.blocks} days)" for point in seen.learning_curve]
        told.append(f"{evidence.loss.words} when taught the last days only: {', '.join(points)}")
    if seen.reliability is not None:
        large, slope = seen.reliability.in_the_large, seen.reliability.slope
        told.append(f"calibration: {large.estimate:+.3f} overall, slope {slope.estimate:.2f}")
    if (found := seen.difference) is not None:
        is_number = KINDS[evidence.kind].answer == "number"
        said = f"predictions ({evidence.unit})" if is_number else "probabilities"
        changed = [
            *(f"+{_plain(name)}" for name in found.features_added),
            *(f"-{_plain(name)}" for name in found.features_removed),
        ]
        told.append(
            f"against the champion: {said} move by {found.moved:.3f} on average; features"
            f" {', '.join(changed) or 'the same'}"
        )
    return ["Beside the gates:", "", *(f"- {line}" for line in told), ""]


def _table(evidence: Evidence) -> list[str]:
    roles = [role for role in ROLES if role in evidence.metrics]
    names = list(evidence.metrics[roles[0]]) if roles else []
    return [
        "| | " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|---|" + "---|" * len(names),
        *(
            f"| {role} | "
            + " | ".join(_cell(evidence.metrics[role].get(name)) for name in names)
            + " |"
            for role in roles
        ),
    ]


def _cell(found: Interval | TooFewBlocks | None) -> str:
    if isinstance(found, Interval):
        return f"{found.estimate:.4f} ({found.low:.4f} to {found.high:.4f})"
    if found is None or found.estimate is None:
        return "too few blocks"
    return f"{found.estimate:.4f} (too few blocks for an interval)"
