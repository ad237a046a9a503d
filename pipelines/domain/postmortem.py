"""Post-mortem: a draft from an incident's facts, without blame, and the questions people answer."""

from datetime import timedelta

from pipelines.domain.incidents import Incident

QUESTIONS = (
    (
        "What was the effect?",
        "Who used what was wrong or missing, and what did it change for them?",
    ),
    ("What made it possible?", "Several conditions usually had to meet; name each."),
    ("What went well?", "What kept it from being worse: a check, a person, luck?"),
    ("How could it have been seen sooner?", "Which signal came first, and who could see it?"),
)


def draft(incident: Incident) -> str:
    """Return Markdown: summary, times and timeline from the ledger, then questions left open.

    It says what happened and never who is at fault: people appear as those who acted.
    """
    lines = [
        f"# Incident {incident.number}: {incident.title}",
        "",
        f"Use case **{incident.use_case}**, owner **{incident.owner}**, "
        f"severity **{incident.severity}**, {incident.state}.",
        "",
        "| | |",
        "|---|---|",
        f"| began | {incident.began_at:%Y-%m-%d %H:%M} UTC |",
        f"| seen | {incident.detected_at:%Y-%m-%d %H:%M} UTC |",
        f"| time to detect | {shown(incident.time_to_detect)} |",
        f"| time to acknowledge | {shown(incident.time_to_acknowledge)} |",
        f"| time to recover | {shown(incident.time_to_recover)} |",
        "",
        "## Timeline (UTC)",
        "",
        *(
            f"- {event.at:%Y-%m-%d %H:%M} **{event.kind}** by {event.actor}: {event.text}"
            for event in incident.events
        ),
        "",
    ]
    for question, hint in QUESTIONS:
        lines += [f"## {question}", "", f"<!-- {hint} -->", ""]
    lines += [
        "## What will be done",
        "",
        "| action | owner | by |",
        "|---|---|---|",
        "| | | |",
    ]
    return "\n".join(lines) + "\n"


def shown(length: timedelta | None) -> str:
    """Return a length of time in its two largest units.

    >>> shown(timedelta(days=1, hours=2, minutes=5)), shown(timedelta(minutes=7)), shown(None)
    ('1 d 2 h', '7 min', 'not yet')
    """
    if length is None:
        return "not yet"
    minutes = int(length.total_seconds() // 60)
    days, hours, left = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "d"), (hours, "h"), (left, "min")]
    told = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(told[:2]) or "0 min"
