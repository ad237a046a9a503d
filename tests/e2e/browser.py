"""A headless Chromium, driven over its debugging protocol: open, type, click, read, look."""

import base64
import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--force-color-profile=srgb", "--remote-debugging-port=0", "--no-proxy-server",
)  # fmt: skip


class Page:
    """One tab. Every wait raises TimeoutError with what was waited for."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.events: list[dict[str, Any]] = []
        """What the browser told unasked, of the domains that ``listen`` named."""

    def listen(self, *domains: str) -> None:
        """Keep what the browser tells of these domains of its protocol, such as "Network"."""
        for domain in domains:
            self._command(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Go to an address."""
        self._command("Page.navigate", url=address)

    def wait_for(self, expression: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"!!({expression})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expression}; the page says: {self.text()[:500]}")
            time.sleep(0.25)

    def wait_for_text(self, text: str, seconds: float = 60) -> None:
        """Wait until the page shows a text."""
        self.wait_for(f"document.body.innerText.includes({json.dumps(text)})", seconds)

    def fill(self, selector: str, text: str) -> None:
        """Type into a field."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self._command("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click an element."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def text(self) -> str:
        """Return what the page shows as text."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - any JavaScript value
        """Return the value of a JavaScript expression."""
        answer = self._command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return answer.get("result", {}).get("value")

    def screenshot(self, path: Path) -> None:
        """Write what the window shows as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = self._command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def _command(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        number = self._number
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if "method" in answer:
                self.events.append(answer)
            if answer.get("id") == number:
                result: dict[str, Any] = answer.get("result", {})
                return result


@contextlib.contextmanager
def chromium(profile: Path, *, width: int = 1440, height: int = 900) -> Iterator[Page]:
    """Start a Chromium with an empty profile, give its tab, and end it."""
    command = ["chromium", *ARGUMENTS, f"--window-size={width},{height}"]
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log
        )
        try:
            with connect(_tab(profile), max_size=None) as socket:
                page = Page(socket)
                page._command("Page.enable")
                yield page
        finally:
            process.terminate()
            process.wait(timeout=30)


def log_in(page: Page, address: str, user: str, password: str) -> None:
    """Log in to Airflow through its form."""
    page.open(address)
    page.wait_for("document.querySelector('input[name=password]')")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for("!document.querySelector('input[name=password]')")
    page.wait_for_text("Welcome")


def _tab(profile: Path) -> str:
    """Return the address of the first tab, once Chromium has written its debugging port."""
    deadline = time.monotonic() + 60
    port_file = profile / "DevToolsActivePort"
    while time.monotonic() < deadline:
        if port_file.exists() and (lines := port_file.read_text().splitlines()):
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{lines[0]}/json"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    pages = [tab for tab in json.load(answer) if tab["type"] == "page"]
                    if pages:
                        return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.25)
    raise TimeoutError("Chromium's debugging port")
