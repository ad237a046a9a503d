"""Rows: made-up flights, the same each time, as many as are asked for and never all at once."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

KEY, EVENT_TIME = "flight_id", "departs_at"
TEXTS = {"airline": 16, "airport": 105, "maker": 35}
"""Text column to the number of values it takes."""

UNKNOWN = 1 / 1000
"""Share of the rows to score whose airport no model has seen."""

BATCH_ROWS = 262_144
"""Rows made, read and predicted together."""

FIRST_SCORED = 1_000_000
"""Number of the first flight to score; those before it are for training."""


def flights(
    numbers: "np.ndarray", *, seed: int, first: datetime, unknown: float = 0.0
) -> "pa.Table":
    """Return flights of these numbers, in columns of the use case's table.

    They leave minute by minute within a day of ``first``. One value in twenty is missing where a
    column may be empty; a share ``unknown`` has an airport of its own.
    """
    import numpy as np
    import pyarrow as pa

    rows = len(numbers)
    chance = np.random.default_rng([seed, int(numbers[0])])
    minutes = numbers % 1440
    columns: dict[str, Any] = {
        KEY: 3 * numbers + 1,
        EVENT_TIME: pa.array(
            np.datetime64(first.replace(tzinfo=None), "us") + minutes * np.timedelta64(60, "s"),
            pa.timestamp("us", tz="UTC"),
        ),
    }
    for name, count in TEXTS.items():
        indices = np.minimum(chance.beta(0.8, 2.0, rows) * count, count - 1).astype(np.int32)
        values = [f"{name[:2].upper()}{number:03}" for number in range(count)]
        if name == "airport":
            indices[chance.random(rows) < unknown] = count
            values.append("NEW")
        missing = chance.random(rows) < (0.05 if name == "maker" else 0.0)
        texts = pa.DictionaryArray.from_arrays(pa.array(indices, mask=missing), pa.array(values))
        columns[name] = texts.cast(pa.string())
    columns |= {
        "departs_minute": minutes,
        "arrives_minute": (minutes + chance.integers(40, 600, rows)) % 1440,
        "distance": chance.integers(80, 5000, rows),
        "weekday": chance.integers(1, 8, rows),
        "leg": chance.integers(1, 7, rows),
    }
    for name, number in {
        "seats": chance.integers(20, 450, rows),
        "plane_age": chance.gamma(4.0, 3.0, rows),
        "visibility": 10 * chance.beta(6.0, 1.0, rows),
        "wind": chance.gamma(3.0, 4.0, rows),
        "rain": np.maximum(0.0, chance.normal(-0.5, 0.6, rows)),
        "carrier_late": chance.normal(0.0, 0.08, rows),
        "route_late": chance.normal(0.0, 0.12, rows),
    }.items():
        columns[name] = pa.array(number, mask=chance.random(rows) < 0.05)
    columns["holiday"] = chance.random(rows) < 0.04
    return pa.table(columns)


def delays(rows: "pa.Table", *, seed: int) -> "pa.Table":
    """Return key and delay (minutes) of flights: late in wind, rain and where others were late."""
    import numpy as np
    import pyarrow as pa

    def filled(name: str, missing: float) -> "np.ndarray":
        return rows[name].cast(pa.float64()).fill_null(missing).to_numpy()

    chance = np.random.default_rng(seed)
    strain = (
        0.08 * filled("wind", 12.0)
        + 1.5 * filled("rain", 0.1)
        + 9.0 * filled("carrier_late", 0.0)
        + 7.0 * filled("route_late", 0.0)
        + 0.001 * filled("departs_minute", 0.0)
        - 0.2 * filled("visibility", 8.0)
    )
    late = chance.random(rows.num_rows) < 1 / (1 + np.exp(-strain))
    return pa.table({KEY: rows[KEY], "delay": np.where(late, 40, 3)})


def described(rows: int, *, scored_for: datetime) -> Iterator["pa.Table"]:
    """Yield feature rows of one scoring time in the order of their keys, a batch at a time."""
    import numpy as np
    import pyarrow as pa

    for begin in range(0, rows, BATCH_ROWS):
        last = min(rows, begin + BATCH_ROWS)
        numbers = FIRST_SCORED + np.arange(begin, last, dtype=np.int64)
        batch = flights(numbers, seed=1, first=scored_for, unknown=UNKNOWN)
        moment = pa.repeat(pa.scalar(scored_for, pa.timestamp("us", tz="UTC")), batch.num_rows)
        features = [name for name in batch.column_names if name not in {KEY, EVENT_TIME}]
        yield pa.table(
            {
                KEY: batch[KEY],
                "as_of": moment,
                "event_time": batch[EVENT_TIME],
                **{name: batch[name] for name in features},
            }
        )
