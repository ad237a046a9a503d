"""Example files: what an example's world delivers, written to landing whole, once, with its sidecar.

An example is a module named after the use case it feeds. It has ``FIRST_DAY`` and ``UNTIL``, the
local days it can deliver, ``deliver(landing, *, first_day, until)``, which returns ``Delivered``, and,
where `headframe demo` shows its use case, ``DEMO``.
"""

import csv
import difflib
import fcntl
import gzip
import hashlib
import importlib
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol, cast

from pipelines.errors import FileRefused, PlatformError, Problem, SettingsError

FOLDER = Path("examples")
"""Where examples are, below the project's folder."""

UNFINISHED = ".part"
"""Suffix of the hidden file that becomes a landing file once it is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What a delivery covered: data files (sidecars not counted), and rows of each table in them."""

    files_written: int
    files_present: int
    rows: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One file of one table: its name, when it was delivered, its text and how many rows that holds.

    A name that ends in ``.gz`` is packed. The text comes of ``csv_text`` or is the example's own.
    """

    table: str
    name: str
    delivered_at: datetime
    text: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What a demo shows of an example, in local days.

    The first model may learn from the days of ``history``, [first, until). Then come at most
    ``rounds`` rounds of ``round_days`` each, and ``settling_days`` until their labels are final;
    monitoring and a second training follow.
    """

    history: tuple[date, date]
    rounds: int
    round_days: int
    settling_days: int


class Example(Protocol):
    """What a module of the folder ``examples`` offers."""

    FIRST_DAY: date
    UNTIL: date
    DEMO: Demonstration

    def deliver(self, landing: Path, *, first_day: date, until: date) -> Delivered:
        """Write the files of the local days in [first_day, until) to ``landing/<example>``."""
        ...


def example(folder: Path, name: str) -> Example:
    """Return the example called ``name``. Raises SettingsError when ``folder`` has none of that name."""
    known = sorted(names(folder))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise SettingsError(
            Problem(
                where="headframe example",
                expected=f"one of {', '.join(known) or 'none'}",
                found=repr(name),
                fix=f"Did you mean {near[0]!r}?" if near else "Correct the name.",
            )
        )
    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))
    return cast("Example", importlib.import_module(f"{folder.name}.{name}"))


def names(folder: Path) -> list[str]:
    """Return the examples of a folder: its modules that deliver."""
    return [
        path.stem
        for path in folder.glob("*.py")
        if "\ndef deliver(" in path.read_text(encoding="utf-8")
    ]


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as CSV with its header."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue()


def utc_text(moment: datetime) -> str:
    """Return a time as landing files and sidecars write it: ISO 8601 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def require_days(name: str, first_day: date, until: date, *, within: tuple[date, date]) -> None:
    """Raise SettingsError unless [first_day, until) is a span of days that the example can deliver."""
    first, end = within
    if first <= first_day < until <= end:
        return
    raise SettingsError(
        Problem(
            where=f"{name} example",
            expected=f"days with {first} <= first_day < until <= {end}",
            found=f"first_day {first_day}, until {until}",
            fix="The day of until itself is not delivered: for one day, give the day after it.",
        )
    )


def write(root: Path, deliveries: Iterable[Delivery]) -> Delivered:
    """Write each delivery to ``root/<table>/<name>``.

    A file appears whole, after its sidecar, and never changes: one that is there is left alone.
    Deliveries into one folder wait for each other; one that was killed is completed by the next.

    Raises FileRefused if files there hold other bytes (all others were delivered), PlatformError
    without a folder to write to.
    """
    rows: Counter[str] = Counter()
    written = present = 0
    changed: list[Problem] = []
    try:
        with _alone_in(root):
            for delivery in deliveries:
                contents = _contents(root / delivery.table / delivery.name, delivery)
                missing = [path for path in contents if not path.exists()]
                differing = [
                    path
                    for path, content in contents.items()
                    if path not in missing and path.read_bytes() != content
                ]
                if differing:
                    changed += [_changed_file(path, contents[path]) for path in differing]
                    continue
                for path in missing:
                    _write_whole(path, contents[path])
                written += bool(missing)
                present += not missing
                rows[delivery.table] += delivery.rows
    except OSError as error:
        raise PlatformError(
            Problem(
                where=str(error.filename or root),
                expected="a folder and disk space for landing files",
                found=error.strerror or str(error),
                fix="Make room or mend the folder, then deliver again: files there are left alone.",
            )
        ) from error
    if changed:
        raise FileRefused(*changed)
    return Delivered(files_written=written, files_present=present, rows=dict(rows))


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    # The kernel drops the lock of a killed delivery, so what is unfinished here has no owner.
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        for unfinished in root.glob(f"*/.*{UNFINISHED}"):
            unfinished.unlink()
        yield
    finally:
        os.close(folder)


def _contents(path: Path, delivery: Delivery) -> dict[Path, bytes]:
    """Sidecar and data file, in the order in which they may appear."""
    data = delivery.text.encode()
    if path.suffix == ".gz":
        packed = io.BytesIO()
        # No name and no time in the header, or the bytes would differ from one day to the next.
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as stream:
            stream.write(data)
        data = packed.getvalue()
    sidecar = json.dumps({"delivered_at": utc_text(delivery.delivered_at)}).encode() + b"\n"
    return {path.with_name(f"{path.name}.delivered.json"): sidecar, path: data}


def _changed_file(path: Path, content: bytes) -> Problem:
    expected, found = (
        f"{len(content):,} bytes with sha256 {hashlib.sha256(content).hexdigest()[:12]}"
        for content in (content, path.read_bytes())
    )
    return Problem(
        where=str(path),
        expected=f"{expected}, as first delivered",
        found=found,
        fix="A landing file never changes: restore it, or deliver into an empty landing folder.",
    )


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
