"""Suite: the twenty checks of the benchmark, as every system is asked them."""

import json
import math
from pathlib import Path
from typing import Any

ROW = "_row"
"""The column that names a row: a benchmark's rows are one delivery, so no file's name is needed."""

CARRIERS = (
    *("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL"),
    *("HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"),
)
ORIGINS = ("EWR", "JFK", "LGA")
TAILNUM, DEST = "^[A-Z0-9]+$", "^[A-Z]{3}$"

BOUNDS: dict[str, tuple[float, float]] = {
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "dep_delay": (-120, 2000),
    "arr_delay": (-120, 2000),
    "air_time": (5, 1000),
    "distance": (1, 6000),
    "fare": (0, 2000),
}
"""Column to the least and most that a row may hold."""

THERE = ("id", "carrier", "time_hour")
"""Columns that hold a value in every row."""

SETS = {"origin": ORIGINS, "carrier": CARRIERS}
PATTERNS = {"tailnum": TAILNUM, "dest": DEST}
CARRIER_LENGTH = 2
MEAN_DISTANCE = (900, 1200)
ROW_COUNT = (1, 100_000_000)

ROW_RULES: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        f"{column} is there": ("expect_column_values_to_not_be_null", {"column": column})
        for column in THERE
    },
    **{
        f"{column} is in bounds": (
            "expect_column_values_to_be_between",
            {"column": column, "min_value": low, "max_value": high},
        )
        for column, (low, high) in BOUNDS.items()
    },
    **{
        f"{column} is in its set": (
            "expect_column_values_to_be_in_set",
            {"column": column, "value_set": list(values)},
        )
        for column, values in SETS.items()
    },
    "carrier has its length": (
        "expect_column_value_lengths_to_equal",
        {"column": "carrier", "value": CARRIER_LENGTH},
    ),
    **{
        f"{column} matches": (
            "expect_column_values_to_match_regex",
            {"column": column, "regex": pattern},
        )
        for column, pattern in PATTERNS.items()
    },
    "sched_dep_time is at least hour": (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "sched_dep_time", "column_B": "hour", "or_equal": True},
    ),
}
UNIQUE: dict[str, tuple[str, dict[str, Any]]] = {
    "id is unique": ("expect_column_values_to_be_unique", {"column": "id"})
}
AGGREGATES: dict[str, tuple[str, dict[str, Any]]] = {
    "mean of distance": (
        "expect_column_mean_to_be_between",
        {"column": "distance", "min_value": MEAN_DISTANCE[0], "max_value": MEAN_DISTANCE[1]},
    ),
    "count of rows": (
        "expect_table_row_count_to_be_between",
        {"min_value": ROW_COUNT[0], "max_value": ROW_COUNT[1]},
    ),
}

PARTS = {
    "rows": ROW_RULES,
    "unique": UNIQUE,
    "aggregates": AGGREGATES,
    "all": {**ROW_RULES, **UNIQUE, **AGGREGATES},
}
"""Name of a part to its checks: a name of our own, and GX's type and keywords."""

DETAILS = ("counted", "listed")
"""Whether a system tells how many rows fail, or also which."""

READ = tuple(dict.fromkeys(("id", *THERE, *BOUNDS, *SETS, *PATTERNS, "sched_dep_time")))
"""The columns that the checks read."""


def entries(part: str, detail: str) -> list[dict[str, Any]]:
    """Return the checks of a part in GX's JSON; "listed" sets failing rows aside."""
    return [
        {
            "type": kind,
            "kwargs": keywords,
            **(
                {"meta": {"on_fail": "quarantine"}}
                if detail == "listed" and name not in AGGREGATES
                else {}
            ),
        }
        for name, (kind, keywords) in PARTS[part].items()
    ]


def suite_path(folder: str, part: str, detail: str) -> Path:
    """Return where the suite of a part lies."""
    return Path(folder) / f"{part}-{detail}.json"


def write_suites(folder: str) -> None:
    """Write every suite into ``folder``."""
    for part in PARTS:
        for detail in DETAILS:
            document = {"name": f"{part}-{detail}", "expectations": entries(part, detail)}
            suite_path(folder, part, detail).write_text(json.dumps(document), "utf-8")


def told(
    success: object, evaluated: int | None, failed: int | None, observed: float | None = None
) -> dict[str, bool | int | float | None]:
    """Return what a system says of one check; None where it does not say.

    ``observed`` keeps nine digits: systems add numbers up in an order of their own.
    """
    if observed:
        observed = round(observed, 8 - math.floor(math.log10(abs(observed))))
    return {
        "success": bool(success),
        "evaluated": evaluated,
        "failed": failed,
        "observed": observed,
    }
