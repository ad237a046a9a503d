"""Appointments of a practice, and who came: two small CSV files for the tutorial.

``python -m examples.appointments FOLDER`` writes ``appointments.csv`` and ``visits.csv``: 16 weeks of
made-up bookings, the same each time. Whoever booked long ago, or by phone, or for a Monday, is more
likely to miss the appointment; practices differ; one in fifty is never written down. All columns of an
appointment are settled when it is booked: ``reminders_wanted`` is what was asked for then, not sent since.
"""

import csv
import math
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

FIRST_DAY = date(2026, 1, 5)
DAYS = 112
A_DAY = 45
"""Appointments of one day."""

SEED = 11

PRACTICES = {"harbour": 0.5, "old_town": -0.3, "park": 0.0, "station": 0.9}
"""Practice to how much likelier an appointment is missed there, in log odds."""

SERVICES = {"check_up": 0.2, "cleaning": 0.5, "filling": -0.4, "first_visit": 0.7}
CHANNELS = {"app": -0.5, "desk": -0.2, "phone": 0.6}

APPOINTMENTS = (
    *("appointment_id", "booked_at", "starts_at", "practice", "service", "channel"),
    *("price", "reminders_wanted"),
)
VISITS = ("appointment_id", "recorded_at", "minutes_late", "missed")


def rows(
    days: int = DAYS, a_day: int = A_DAY
) -> Iterator[tuple[dict[str, object], dict[str, object] | None]]:
    """Yield each appointment with what came of it, None where nobody wrote that down."""
    chance = random.Random(SEED)  # noqa: S311 - made-up data, the same each time
    number = 1000
    for day in (FIRST_DAY + timedelta(days=count) for count in range(days)):
        for _ in range(a_day):
            number += chance.randint(1, 3)
            practice, service, channel = (
                chance.choice(list(choices)) for choices in (PRACTICES, SERVICES, CHANNELS)
            )
            starts = datetime.combine(day, time(chance.randint(8, 17), chance.choice((0, 30))))
            lead = chance.expovariate(1 / 9) + 0.7  # days
            reminders = chance.randint(0, 2) if lead > 2 else 0
            odds = -1.9 + PRACTICES[practice] + SERVICES[service] + CHANNELS[channel]
            odds += 0.09 * min(lead, 30) - 0.6 * reminders + (0.6 if day.weekday() == 0 else 0)
            missed = chance.random() < 1 / (1 + math.exp(-odds))
            late = None if missed or chance.random() < 0.1 else chance.randint(-10, 40)
            appointment: dict[str, object] = {
                "appointment_id": number,
                "booked_at": _moment(starts - timedelta(days=lead)),
                "starts_at": _moment(starts),
                "practice": practice,
                "service": service,
                "channel": channel,
                "price": chance.choice((39.0, 59.5, 120.0)),
                "reminders_wanted": reminders,
            }
            recorded = starts + timedelta(hours=chance.uniform(2, 20))
            visit: dict[str, object] = {
                "appointment_id": number,
                "recorded_at": _moment(recorded),
                "minutes_late": late,
                "missed": str(missed).lower(),
            }
            yield appointment, None if chance.random() < 0.02 else visit


def write(folder: Path, *, days: int = DAYS, a_day: int = A_DAY) -> None:
    """Write both files into ``folder``, over what an earlier call wrote."""
    made = list(rows(days, a_day))
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "appointments.csv", APPOINTMENTS, [one for one, _ in made])
    _write(folder / "visits.csv", VISITS, [one for _, one in made if one is not None])


def _write(path: Path, names: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _moment(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
