"""Schedule times: the moments of a declared cron expression or preset, in UTC."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta

from pipelines.errors import DeclarationError, Problem

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
"""What the presets of a declaration stand for (crontab(5))."""

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
"""The five fields of an expression with their bounds; weekday 0 and 7 are Sunday."""

NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}

ONE_DAY = timedelta(days=1)


def schedule_times(schedule: str, since: datetime, until: datetime) -> list[datetime]:
    """Return every moment of ``schedule`` in [since, until), sorted.

    ``schedule`` is one of PRESETS or five fields of numbers, names, ranges, lists and steps. Where
    both day and weekday are restricted, either is enough, as crontab(5) has it. Raises
    DeclarationError for anything else.

    >>> first, until = datetime(2013, 1, 15, tzinfo=UTC), datetime(2013, 3, 1, tzinfo=UTC)
    >>> [f"{moment:%m-%d %H:%M}" for moment in schedule_times("@monthly", first, until)]
    ['02-01 00:00']
    """
    fields = PRESETS.get(schedule, schedule).split()
    if len(fields) != len(FIELDS):
        raise _not_cron(schedule, f"{len(fields)} fields")
    minutes, hours, days, months, weekdays = (
        _numbers(schedule, text, *field) for text, field in zip(fields, FIELDS, strict=True)
    )
    either = "*" not in (fields[2][0], fields[4][0])
    found: list[datetime] = []
    day = since.astimezone(UTC).date()
    while day <= until.astimezone(UTC).date():
        if day.month in months and _is_on(day, days, weekdays, either=either):
            found += (
                datetime.combine(day, time(hour, minute), tzinfo=UTC)
                for hour in hours
                for minute in minutes
            )
        day += ONE_DAY
    return [moment for moment in found if since <= moment < until]


def _is_on(day: date, days: Collection[int], weekdays: Collection[int], *, either: bool) -> bool:
    by_day, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
    return by_day or by_weekday if either else by_day and by_weekday


def _numbers(schedule: str, text: str, name: str, low: int, high: int) -> list[int]:
    """Return the numbers that a field allows, sorted."""
    found: set[int] = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            begin = low if span == "*" else _number(first, name)
            end = high if span == "*" or (step and not dash) else _number(last or first, name)
            every = int(step) if step else 1
        except ValueError:
            raise _not_cron(schedule, f"{part!r} as {name}") from None
        if every < 1 or not low <= begin <= end <= high:
            raise _not_cron(schedule, f"{part!r} as {name}")
        found.update(range(begin, end + 1, every))
    return sorted({0 if name == "weekday" and number == 7 else number for number in found})


def _number(text: str, name: str) -> int:
    names = NAMES.get(name, ())
    if text in names:
        return names.index(text) + (1 if name == "month" else 0)
    return int(text)


def _not_cron(schedule: str, found: str) -> DeclarationError:
    return DeclarationError(
        Problem(
            where=f"schedule {schedule!r}",
            expected=f"five cron fields of numbers, or one of {', '.join(PRESETS)}",
            found=found,
            fix="'0 6 * * 1' is every Monday at 06:00 UTC.",
        )
    )
