"""Model card: one registered version in Markdown, written from recorded facts and nothing else."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.domain.evidence import Evidence
from pipelines.domain.evidence_report import Bounded, improvements_of, metrics_of, verdict_sentence
from pipelines.domain.model_limits import limits
from pipelines.domain.registered import Registered
from pipelines.domain.search import shown

NOT_JUDGED = "No evidence: the gates have not judged this version."

REPRODUCTIONS_SHOWN = 3
"""The last ones: a champion is made again every night."""

MARKED = re.compile(r"[\\`*\[\]<>|#&~]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|^[-+](?= )")
"""What Markdown or HTML would read as markup; not an underscore inside a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFacts:
    """What the declaration that a version was trained under says of it.

    ``rule`` is None where the use case was declared otherwise since: then only the archive beside
    the model knows what the label was.
    """

    owner: str
    purpose: str
    tier: str
    label: str
    rule: str | None = None
    label_table: str = ""
    final_after: str = ""


def model_card(registered: Registered, declared: DeclaredFacts) -> str:
    """Return the card. The same facts give the same text, to the byte."""
    evidence = registered.evidence
    parts: list[Iterable[str]] = [
        [f"# {_safe(registered.use_case)}, version {_safe(registered.version)}", ""],
        [verdict_sentence(evidence) if evidence else NOT_JUDGED, ""],
        _identity(registered, declared),
        _label(registered, declared),
        _data(registered),
        _features(registered),
    ]
    if evidence is not None:
        parts += [_metrics(evidence), _gates(evidence), _limits(evidence)]
    parts += [_decisions(registered), _made_again(registered), _made_from(registered)]
    return "\n".join(line for part in parts for line in part).rstrip("\n") + "\n"


def _identity(found: Registered, declared: DeclaredFacts) -> Iterator[str]:
    today = " today" if declared.rule is None else ""
    built = "as the candidate declares them" if found.candidate else "not recorded"
    rows = [
        (f"Purpose{today}", declared.purpose or "not declared"),
        (f"Owner, tier{today}", f"{declared.owner}, {declared.tier}"),
        ("Candidate", found.candidate or "not recorded"),
        ("Parameters", shown(found.parameters) or built),
        ("Search", found.searched or "none"),
        ("Trained for", f"{found.requester}, as of {found.as_of}"),
    ]
    if found.cause:
        rows.append(("Cause", found.cause))
    if found.reason:
        rows.append(("Reason asked", found.reason))
    yield from _table(("", ""), rows)


def _label(found: Registered, declared: DeclaredFacts) -> Iterator[str]:
    yield from ("## Label", "")
    truth = "number" if found.positive_share is None else "truth"
    if declared.rule is None:
        yield (
            f"{_safe(declared.label)}, declared otherwise today: the archive `code/` of the run has"
            " the declaration that this version was trained under."
        )
    else:
        yield (
            f"{_safe(declared.label)} is the {truth} of `{declared.rule.replace('`', ' ')}` on table "
            f"{_safe(declared.label_table)}, final {declared.final_after} after the event."
        )
    share = f"The baseline predicts {_safe(found.typical)} for every row."
    if found.positive_share is not None:
        share = f"{found.positive_share:.1%} of the training rows are positive."
    yield from ("", share, "")


def _data(found: Registered) -> Iterator[str]:
    yield from ("## Data", "")
    rows = [
        ("Trained on", " to ".join(found.training_window)),
        ("Judged on", " to ".join(found.held_out_window)),
    ]
    if (seen := found.evidence) is not None:
        share = f"{seen.positives / seen.rows:.1%}" if seen.rows else "none"
        positive = f", {share} positive" if found.positive_share is not None else ""
        rows.append(("Held-out rows", f"{seen.rows:,}{positive}"))
        rows.append(("Held-out blocks", f"{len(seen.blocks):,}"))
    rows += [(name, f"version {at}") for name, at in sorted(found.data_versions.items())]
    yield from _table(("", ""), rows)


def _features(found: Registered) -> Iterator[str]:
    yield from (f"## Features ({len(found.features)})", "")
    seen = found.evidence.examination if found.evidence else None
    importance = seen.importance if seen else {}
    ranked = sorted(found.features, key=lambda name: -importance.get(name, 0.0))
    rows = [
        (name, found.features[name], f"{importance[name]:.3f}" if name in importance else "-")
        for name in ranked
    ]
    yield from _table(("Feature", "Type", "Share of importance"), rows)


def _metrics(evidence: Evidence) -> Iterator[str]:
    yield from ("## Metrics on held-out rows, with 95 % intervals over blocks", "")
    yield from _table(
        ("Metric", "Better", "Role", "Estimate", "Interval"),
        [
            (one.metric.name, one.metric.better, role.role, *_figure(role.figure))
            for one in metrics_of(evidence)
            for role in one.roles
        ],
    )
    yield from ("Loss of a rival less that of this version, paired on blocks:", "")
    yield from _table(
        ("Metric", "Rival", "Improvement", "Interval"),
        [
            (one.metric.name, one.rival, *_figure(one.figure, signed=True))
            for one in improvements_of(evidence)
        ],
    )
    seen = evidence.examination
    if seen is None or seen.reliability is None:
        return
    found = seen.reliability
    yield from _table(
        ("Calibration", "Estimate", "Interval"),
        [
            ("mean probability less share", *_figure(Bounded.of(found.in_the_large), signed=True)),
            ("slope of the log odds", *_figure(Bounded.of(found.slope))),
            ("mean error of a probability", *_figure(Bounded.of(found.error).from_zero())),
        ],
    )


def _gates(evidence: Evidence) -> Iterator[str]:
    yield from ("## Gates", "")
    rows = [(one.gate, one.outcome.replace("_", " "), one.reason) for one in evidence.verdicts]
    yield from _table(("Gate", "Verdict", "Reason"), rows)


def _limits(evidence: Evidence) -> Iterator[str]:
    yield from ("## Limits that follow from the figures", "")
    yield from (f"- {_safe(one)}" for one in limits(evidence))
    yield ""


def _decisions(found: Registered) -> Iterator[str]:
    yield from ("## Decisions", "")
    rows = [(str(d.sequence), d.as_of, d.kind, d.actor, d.reason or "-") for d in found.decisions]
    yield from _table(("Entry", "As of", "Decision", "By", "Reason"), rows)


def _made_again(found: Registered) -> Iterator[str]:
    """Yield the last times it was made again; nothing where it never was."""
    if not found.reproductions:
        return
    yield from ("## Made again", "")
    rows = [
        (f"{one.as_of:%Y-%m-%d %H:%M} UTC", one.outcome.replace("_", " "), one.reason)
        for one in found.reproductions[-REPRODUCTIONS_SHOWN:]
    ]
    yield from _table(("As of", "Outcome", "Reason"), rows)


def _made_from(found: Registered) -> Iterator[str]:
    yield from ("## Made from", "")
    digests = [(f"{name} digest", text) for name, text in found.digests.items()]
    if found.evidence is not None:
        digests.append(("evidence digest", found.evidence.digest))
    yield from _table(("", ""), [("MLflow run", found.run_id), *digests])
    yield from ("Packages, from the lock:", "")
    yield from (f"- {_safe(one)}" for one in found.requirements or ("not recorded",))


def _figure(found: Bounded, *, signed: bool = False) -> tuple[str, str]:
    if found.estimate is None:
        return "-", "none: too few blocks"
    sign = "+" if signed else ""
    estimate = f"{found.estimate:{sign}.4f}"
    if found.low is None or found.high is None:
        return estimate, f"none: worth {found.blocks} blocks"
    return estimate, f"{found.low:{sign}.4f} to {found.high:{sign}.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        yield from ("None.", "")
        return
    yield f"| {' | '.join(header)} |"
    yield "|---" * len(header) + "|"
    for row in rows:
        yield f"| {' | '.join(_safe(cell) for cell in row)} |"
    yield ""


def _safe(text: str) -> str:
    r"""Return a text on one line, as Markdown that shows it and nothing else.

    >>> print(_safe("log_loss of <b>*"))
    log_loss of \<b\>\*
    """
    return MARKED.sub(r"\\\g<0>", " ".join(text.split()))
