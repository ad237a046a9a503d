"""Notifications: what a person should know, kept in a file and sent where they asked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import append_line

NOT_SENT = "Notification not sent"
"""Title of the line that says why a message stayed in the file."""

MAIL = ("mailto", "mailtos")
"""Schemes of Apprise's addresses that send mail, in plain text and over TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message."""

    at: datetime
    """UTC."""
    title: str
    body: str


def notify(settings: Settings, title: str, body: str, *, to: Sequence[str] = ()) -> str:
    """Keep a message in ``<home>/notifications.log`` and send it to HEADFRAME_NOTIFY, if set.

    Where that is a mail server (mailto://, mailtos://), ``to`` are the addresses that get it; none
    means those of the URL. A message that cannot be sent is no error here: the file says why, the
    caller goes on, and gets the reason back, which is empty when there is none.
    """
    _append(settings, title, body)
    if not settings.notify:
        return ""
    reason = _send(_addressed(settings.notify, to), title, body)
    if reason:
        _append(settings, NOT_SENT, f"{title}: {reason}")
    return reason


def recent(settings: Settings, limit: int) -> tuple[Notification, ...]:
    """Read the last ``limit`` messages, oldest first. Lines that are cut off are left out."""
    try:
        lines = _file(settings).read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return ()
    found: list[Notification] = []
    for line in reversed(lines):
        if len(found) == limit:
            break
        try:
            content = json.loads(line)
            at = datetime.fromisoformat(content["at"])
            found.append(Notification(at=at, title=content["title"], body=content["body"]))
        except (ValueError, KeyError, TypeError):
            continue
    return tuple(reversed(found))


def _addressed(url: str, to: Sequence[str]) -> str:
    """Return the URL with these recipients in place of its own; other services have none."""
    parts = urlsplit(url)
    if not to or parts.scheme.lower() not in MAIL:
        return url
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name != "to"]
    return urlunsplit(parts._replace(query=urlencode([*kept, ("to", ",".join(to))])))


def _send(url: str, title: str, body: str) -> str:
    """Send one message; return why it was not sent, never with the URL or anything in it."""
    try:
        import apprise

        service = apprise.Apprise()
        if not service.add(url):
            return "HEADFRAME_NOTIFY is no URL that Apprise understands."
        if not service.notify(title=title, body=body):
            return "The service of HEADFRAME_NOTIFY refused the message or did not answer."
    except Exception as error:  # noqa: BLE001 - whatever fails here, the caller's work goes on
        # Only the type: a message may quote the URL, which holds a password or token.
        return f"Sending to HEADFRAME_NOTIFY failed with {type(error).__name__}."
    return ""


def _append(settings: Settings, title: str, body: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": at, "title": title, "body": body}, ensure_ascii=False)
    append_line(_file(settings), line)


def _file(settings: Settings) -> Path:
    return settings.root / "notifications.log"
