"""Landing: delivered files, when each was delivered, and each as a local file that may be read."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from typing import TypeAlias, cast
from unicodedata import category

from pipelines.adapters.landing import landed_folders, seen_files
from pipelines.adapters.landing.landed_folders import State
from pipelines.adapters.landing.preflight import inspect, opened
from pipelines.adapters.stores import object_store
from pipelines.adapters.stores.object_store import Folder
from pipelines.domain.contract import Files
from pipelines.domain.delivery import Delivery, Inspected, LocalFile, landed_problem
from pipelines.errors import FileRefused, Problem

SIDECAR = landed_folders.SIDECAR
"""Suffix of the file that says when its neighbour was delivered."""

NOT_SHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control characters, line breaks, and bytes that are no UTF-8."""

Inspection: TypeAlias = tuple[Inspected, FileRefused | None]
"""What reading a file found, and why it is not fit to be parsed."""

RENAME = "Write files under another name and rename them into landing when they are whole."


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What lies in landing: deliveries and refusals by name, and names of files not yet quiet.

    ``inspected`` holds what reading found of local files first seen just now, by name.
    """

    deliveries: tuple[Delivery, ...]
    refused: tuple[FileRefused, ...] = ()
    waiting: tuple[str, ...] = ()
    inspected: Mapping[str, Inspection] = field(default_factory=dict)


def deliveries(landing: Folder, use_case: str, source: Files, seen_index: Folder) -> Landed:
    """Return every landed file that matches ``source``; see ``landed_folders.listing``.

    A file's delivered-at is told by its sidecar when it is first seen, or is that moment; it is
    recorded in ``seen_index`` before this returns and never changes, whatever the sidecar does. A
    file without a sidecar that was modified less than ``source.quiet`` ago, or is being modified,
    is waiting: not recorded, not taken. What was seen before is read again only when its size or
    modification time (in a store: its etag) is another.
    """
    folder = landing / use_case
    listing = landed_folders.listing(folder, source.pattern)
    seen = seen_files.recorded(seen_index, use_case, folder, listing.files)
    taken: dict[str, Delivery] = {}
    found: dict[str, Delivery] = {}
    inspected: dict[str, Inspection] = {}
    waiting: list[str] = []
    refused = {name: _no_file(name, what) for name, what in listing.odd.items()}
    for name, state in listing.files.items():
        record = seen.get(name)
        if record and record.size == state.size and record.mtime_ns == state.mark:
            taken[name] = record
            continue
        try:
            looked = _look(folder, name, state, record, source)
        except FileRefused as error:
            refused[name] = error
            continue
        if looked is None:
            waiting.append(name)
            continue
        found[name], inspection = looked
        if inspection:
            inspected[name] = inspection
    recorded = seen_files.record(seen_index, use_case, folder, found) if found else {}
    for name, delivery in found.items():  # another run may have recorded it first, from other bytes
        if recorded[name].sha256 == delivery.sha256:
            taken[name] = recorded[name]
        else:
            refused[name] = _other_bytes(name)
    return Landed(
        deliveries=tuple(taken[name] for name in sorted(taken)),
        refused=tuple(refused[name] for name in sorted(refused)),
        waiting=tuple(sorted(waiting)),
        inspected=inspected,
    )


def known(
    landing: Folder, use_case: str, seen_index: Folder, names: Iterable[str]
) -> dict[str, Delivery]:
    """Return the deliveries recorded under ``names``, to be read again; see ``local_file``.

    Raises FileRefused, with all of them, for names that were never recorded or whose file is gone.
    """
    folder = landing / use_case
    asked = sorted(set(names))
    recorded = seen_files.recorded(seen_index, use_case, folder, frozenset(asked))
    found: dict[str, Delivery] = {}
    problems: list[Problem] = []
    for name in asked:
        place = folder / name
        try:
            if name not in recorded:
                raise FileNotFoundError
            if isinstance(place, Path):
                size, mark, _ = landed_folders.state(place)
                found[name] = replace(recorded[name], size=size, mtime_ns=mark)
            elif object_store.exists(place):
                found[name] = recorded[name]
            else:
                raise FileNotFoundError
        except OSError:
            fix = "Restore it from a backup under the same name: silver and quarantine refer to it."
            expected = "the file that was landed here; landed files are kept"
            problems.append(_problem(name, expected, "none", fix))
    if problems:
        raise FileRefused(*problems)
    return found


@contextmanager
def local_file(
    delivery: Delivery, source: Files, *, known: Landed | None = None
) -> Iterator[LocalFile]:
    """Yield the delivery as a local file that passed preflight: itself, or a copy of the object.

    ``known`` spares reading what ``deliveries`` just read. Raises FileRefused for a file that is
    not fit to be parsed or holds other bytes than were first seen, and, when the block ends, for
    one that changed in the meantime.
    """
    place: Folder = delivery.path  # of a delivery in a store it is a StoreUrl
    with ExitStack() as stack:
        try:
            path = stack.enter_context(landed_folders.local_copy(place))
            if isinstance(place, Path):
                _refuse_changed(delivery)
            inspection = known.inspected.get(delivery.name) if known else None
            if inspection is None:
                with opened(path) as stream:
                    inspection = inspect(stream, delivery.name, source)
        except OSError as error:
            raise _unreadable(delivery.name, error) from error
        inspected, unfit = inspection
        if inspected.sha256 != delivery.sha256:
            raise _other_bytes(delivery.name)
        if unfit:
            raise unfit
        yield LocalFile(delivery=delivery, path=path, inspected=inspected)
        if isinstance(place, Path):
            _refuse_changed(delivery)


def _look(
    folder: Folder, name: str, state: State, record: Delivery | None, source: Files
) -> tuple[Delivery, Inspection | None] | None:
    """Read a file that is new, or not as it was; return None when it is still being written."""
    place = folder / name
    inspection = None
    try:
        moment = record.delivered_at if record else _first_sight(folder, name, state, source)
        if moment is None:
            return None
        with landed_folders.local_copy(place) as path, opened(path) as stream:
            if isinstance(place, Path):
                inspection = inspect(stream, name, source)
                sha256 = inspection[0].sha256
                if landed_folders.state(path) != state:
                    return None
            else:
                sha256 = file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(name, error) from error
    if record and record.sha256 != sha256:
        raise _other_bytes(name)
    delivery = Delivery(
        name=name,
        path=cast("Path", place),  # see local_file
        size=state.size,
        mtime_ns=state.mark,
        sha256=sha256,
        delivered_at=moment,
    )
    return delivery, inspection


def _first_sight(folder: Folder, name: str, state: State, source: Files) -> datetime | None:
    """Return when a file that was never seen before was delivered; None before it is quiet."""
    if _shown(name) != name:
        expected = "a name in UTF-8, without control characters"
        raise _refused(name, expected, "others, shown here as '?'", "Rename the file.")
    told = _told(folder, name)
    age_ns = time.time_ns() - state.modified_ns
    if told is None and age_ns < source.quiet / timedelta(microseconds=1) * 1000 and source.quiet:
        return None
    return told or datetime.now(UTC)


def _told(folder: Folder, name: str) -> datetime | None:
    """Return the delivered-at that the file's sidecar tells, None without one."""
    content = landed_folders.sidecar(folder, name)
    if content is None:
        return None
    try:
        moment = datetime.fromisoformat(json.loads(content)["delivered_at"])
        told = moment.astimezone(UTC)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _bad_sidecar(name, f"{type(error).__name__} on reading it") from error
    if moment.tzinfo is None:
        raise _bad_sidecar(name, "a time without an offset")
    return told


def _refuse_changed(delivery: Delivery) -> None:
    try:
        size, mark, _ = landed_folders.state(delivery.path)
    except OSError as error:
        raise _unreadable(delivery.name, error) from error
    if (size, mark) != (delivery.size, delivery.mtime_ns):
        expected = "a file that stays as it is"
        raise _refused(delivery.name, expected, "one that changed while it was read", RENAME)


def _bad_sidecar(name: str, found: str) -> FileRefused:
    expected = '{"delivered_at": "2013-01-31T20:00:00Z"}'
    return _refused(name + SIDECAR, expected, found, "Write the sidecar again; the file waits.")


def _other_bytes(name: str) -> FileRefused:
    return _refused(
        name,
        "the bytes that were first seen; landed files never change",
        "other bytes under the same name",
        "Deliver the new content under a new name and restore the old file.",
    )


def _no_file(name: str, found: str) -> FileRefused:
    expected = "a regular file inside the landing folder"
    return _refused(name, expected, found, "Copy the file itself into landing.")


def _unreadable(name: str, error: OSError) -> FileRefused:
    found = f"one that cannot be read ({error.strerror})"
    return _refused(name, "a file", found, "Mend its permissions, or deliver it again.")


def _refused(name: str, expected: str, found: str, fix: str) -> FileRefused:
    return FileRefused(_problem(name, expected, found, fix))


def _problem(name: str, expected: str, found: str, fix: str) -> Problem:
    return landed_problem(_shown(name), expected, found, fix)


def _shown(name: str) -> str:
    """Return the name with a question mark for whatever would not be shown as a letter."""
    return "".join("?" if category(letter) in NOT_SHOWN else letter for letter in name)
