"""Notifications: the file has every message, and a service that fails harms nobody."""

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from pipelines.adapters.platform.notifications import NOT_SENT, notify, recent
from pipelines.adapters.settings import Settings

# Apprise's own: it goes with the last Python that has the module.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Receiver(HTTPServer):
    """A service that keeps what it is sent and answers with ``status``."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.received: list[dict[str, str]] = []

    def finish_with(self, body: bytes) -> int:
        """Keep a message and say what to answer."""
        self.received.append(json.loads(body))
        return self.status


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.finish_with(body))
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its own name
        """Stay quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def settings_for(tmp_path: Path, url: str = "") -> Settings:
    return Settings(home=tmp_path / "home", notify=url)


def test_without_a_service_a_message_is_kept_in_the_file(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    notify(settings, "Ingest failed", "churn: no file")
    lines = (settings.root / "notifications.log").read_text().splitlines()
    content = [json.loads(line) for line in lines]
    assert [(line["title"], line["body"]) for line in content] == [
        ("Ingest failed", "churn: no file")
    ]
    assert content[0]["at"].endswith("+00:00")


def test_a_service_gets_the_message_once(tmp_path: Path, receiver: Receiver) -> None:
    settings = settings_for(tmp_path, f"json://127.0.0.1:{receiver.server_port}/")
    notify(settings, "Drift", "origin moved")
    assert [(got["title"], got["message"]) for got in receiver.received] == [
        ("Drift", "origin moved")
    ]
    assert [message.title for message in recent(settings, 10)] == ["Drift"]


NO_URL = "HEADFRAME_NOTIFY is no URL that Apprise understands."
REFUSED = "The service of HEADFRAME_NOTIFY refused the message or did not answer."


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("json://user:hunter2@127.0.0.1:{refusing}/token", REFUSED),
        ("json://user:hunter2@127.0.0.1:1/nobody-listens", REFUSED),
        ("nonsense://hunter2", NO_URL),
        ("hunter2", NO_URL),
    ],
)
def test_a_service_that_fails_leaves_its_reason_and_no_secret(
    tmp_path: Path, receiver: Receiver, url: str, reason: str
) -> None:
    receiver.status = 500
    settings = settings_for(tmp_path, url.format(refusing=receiver.server_port))
    notify(settings, "Drift", "origin moved")
    first, second = recent(settings, 10)
    assert (first.title, second.title) == ("Drift", NOT_SENT)
    assert second.body == f"Drift: {reason}"
    assert "hunter2" not in (settings.root / "notifications.log").read_text()


def test_the_last_messages_come_oldest_first_and_broken_lines_are_left_out(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    assert recent(settings, 3) == ()
    for number in range(5):
        notify(settings, f"message {number}", "line one\nline two")
    with (settings.root / "notifications.log").open("a") as file:
        file.write('{"at": "2026-01-01T00:00')
    assert [message.title for message in recent(settings, 2)] == ["message 3", "message 4"]
    # What was cut off takes nothing from the message after it, nor does a line break of Unicode's.
    notify(settings, "message 5", "one\u2028two")
    assert [message.title for message in recent(settings, 2)] == ["message 4", "message 5"]


class MailServer(socketserver.StreamRequestHandler):
    """A ten-line mail server: it keeps for whom mail is."""

    recipients: ClassVar[list[str]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in iter(self.rfile.readline, b""):
            word = line.split()[0].upper()
            if word == b"RCPT":
                self.recipients.append(line.decode().split("<")[1].split(">")[0])
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() != b".\r\n":
                    pass
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                return


def test_mail_goes_to_whom_it_concerns(tmp_path: Path) -> None:
    MailServer.recipients.clear()
    with socketserver.TCPServer(("127.0.0.1", 0), MailServer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        port = server.server_address[1]
        url = f"mailto://127.0.0.1:{port}?from=us@example.com&to=team@example.com&mode=insecure"
        settings = settings_for(tmp_path, url)
        assert notify(settings, "Approve?", "see", to=["ann@example.com", "bob@example.com"]) == ""
        assert sorted(MailServer.recipients) == ["ann@example.com", "bob@example.com"]
        assert notify(settings, "Drift", "moved") == ""
        server.shutdown()
        thread.join()
    assert MailServer.recipients[2:] == ["team@example.com"], "nobody named: as the URL says"


def test_what_was_not_sent_is_told_to_the_caller(tmp_path: Path) -> None:
    assert notify(settings_for(tmp_path, "hunter2"), "Drift", "moved") == NO_URL


def test_another_service_than_mail_keeps_its_address(tmp_path: Path, receiver: Receiver) -> None:
    settings = settings_for(tmp_path, f"json://127.0.0.1:{receiver.server_port}/")
    assert notify(settings, "Approve?", "see", to=["ann@example.com"]) == ""
    assert [got["title"] for got in receiver.received] == ["Approve?"]
    assert "ann@example.com" not in str(receiver.received)
