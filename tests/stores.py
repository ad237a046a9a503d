"""Stores: a SeaweedFS on loopback, and a proxy before it that makes the faults of a network."""

import http.client
import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal

from pipelines.adapters.platform.ports import HIGHEST_PORT, LOOPBACK, LOWEST_PORT, is_free

BUCKET = "lake"
SECRET = "canary-of-a-secret-key"  # noqa: S105 - of a server that lives for one test session
ROOT = Path(__file__).parent.parent
RULES = "/-/rules"
"""Path under which a proxy takes and tells its rules; no bucket has that name."""

WEED = Path(sys.executable).with_name("weed")
STARTS_WITHIN_SECONDS = 30

Fault = Literal["drop the reply", "answer an error", "delay", "strip a header"]


def environment(address: str, *, signed: bool = True) -> dict[str, str]:
    """Return the variables that lead obstore and delta-rs to the store at ``address``.

    A header can only be stripped on the way from a request that is not signed.
    """
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_SKIP_SIGNATURE": str(not signed).lower(),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def seaweed(folder: Path) -> Iterator[str]:
    """Run a SeaweedFS with one bucket on free loopback ports, and lend its address."""
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": "test", "secretKey": SECRET}]
    identities = [
        {"name": "test", "credentials": credentials, "actions": actions},
        {"name": "anonymous", "actions": actions},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = _free_ports(8)
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    options = {
        **dict(zip(names, ports[:4], strict=True)),
        **dict(zip((f"{name}.grpc" for name in names), ports[4:], strict=True)),
        "dir": folder,
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "volume.max": 20,
        "volume.preStopSeconds": 0,
    }
    command = [str(WEED), "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]
    log = folder / "weed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        address = f"http://{LOOPBACK}:{options['s3.port']}"
        _make_bucket(address, process, log)
        yield address
    finally:
        process.kill()
        process.wait()
        for path in Path("/tmp").glob("seaweedfs-*.sock"):  # noqa: S108 - where weed puts them
            if any(str(port) in path.name for port in ports):
                path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True, kw_only=True)
class Rule:
    """What to do with requests of a method whose path matches, and how often it was done.

    The first ``skip`` such requests pass; then ``times`` of them do not.
    """

    does: Fault
    method: str
    path: str
    skip: int = 0
    times: int = 1
    status: int = 503
    seconds: float = 0.0
    header: str = ""
    seen: int = 0
    done: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Count the request, and tell whether it is one to spoil."""
        if method != self.method or not re.search(self.path, path):
            return False
        self.seen += 1
        spoiled = self.skip < self.seen <= self.skip + self.times
        self.done += spoiled
        return spoiled


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy in a process of its own, since delta-rs holds Python's lock while it waits."""

    address: str

    def rule(self, does: Fault, method: str, path: str, **more: Any) -> "Told":  # noqa: ANN401 - Rule's
        """Add a rule, and return what tells how often it was applied."""
        rules = self.rules()
        self._put([*rules, Rule(does=does, method=method, path=path, **more)])
        return Told(self, len(rules))

    def rules(self) -> list[Rule]:
        """Return the rules, with their counts."""
        with urllib.request.urlopen(self.address + RULES, timeout=10) as answer:  # noqa: S310 - loopback
            return [Rule(**rule) for rule in json.load(answer)]

    def clear(self) -> None:
        """Forget the rules: from now on everything passes."""
        self._put([])

    def _put(self, rules: list[Rule]) -> None:
        content = json.dumps([asdict(rule) for rule in rules]).encode()
        request = urllib.request.Request(self.address + RULES, content, method="PUT")  # noqa: S310 - loopback
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - loopback


@dataclass(frozen=True, slots=True)
class Told:
    """The counts of one rule of a proxy."""

    proxy: Proxy
    place: int

    @property
    def done(self) -> int:
        """How many requests the rule spoiled so far."""
        return self.proxy.rules()[self.place].done


@contextmanager
def proxied(address: str) -> Iterator[Proxy]:
    """Lend a proxy before the store at ``address``; clients sign for the proxy's own address."""
    (port,) = _free_ports(1)
    command = [sys.executable, "-m", "tests.stores", str(port), address.removeprefix("http://")]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        proxy = Proxy(f"http://{LOOPBACK}:{port}")
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while True:
            try:
                proxy.rules()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield proxy
    finally:
        process.kill()
        process.wait()


class _Forwarding(BaseHTTPRequestHandler):
    """One client connection of a proxy."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer
    upstream = ""
    rules: ClassVar[list[Rule]] = []
    lock = threading.Lock()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def _forward(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == RULES:
            self._control(content)
            return
        with self.lock:
            spoiling = {
                rule.does: rule for rule in self.rules if rule.takes(self.command, self.path)
            }
        if rule := spoiling.get("delay"):
            time.sleep(rule.seconds)
        if rule := spoiling.get("answer an error"):
            self._answer(rule.status, [], b"")
            return
        stripped = spoiling["strip a header"].header if "strip a header" in spoiling else ""
        status, headers, answer = self._ask(content, without=stripped)
        if "drop the reply" in spoiling:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(status, headers, answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - http.server looks for these

    def _control(self, content: bytes) -> None:
        with self.lock:
            if self.command == "PUT":
                self.rules[:] = [Rule(**rule) for rule in json.loads(content)]
            answer = json.dumps([asdict(rule) for rule in self.rules]).encode()
        self._answer(200, [], answer)

    def _ask(self, content: bytes, *, without: str) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        # The Host is forwarded as it came, since the client signed it.
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in {"connection", without.lower()}:
                connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), found

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        dropped = {"connection", "transfer-encoding"}
        kept = {name: value for name, value in headers if name.lower() not in dropped}
        self.send_response_only(status)
        for name, value in kept.items():
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name in kept}:
            self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # a client that hung up wants no answer
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            self.wfile.flush()


def _make_bucket(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server answers, and create the bucket."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=address,
        access_key_id="test",
        secret_access_key=SECRET,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    url = obstore.sign(store, "PUT", "", timedelta(hours=1))
    deadline = time.monotonic() + STARTS_WITHIN_SECONDS
    while True:
        try:
            with urllib.request.urlopen(  # noqa: S310 - a loopback address
                urllib.request.Request(url, method="PUT"),  # noqa: S310 - as above
                timeout=5,
            ):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    found: set[int] = set()
    while len(found) < count:
        port = secrets.SystemRandom().randrange(LOWEST_PORT, HIGHEST_PORT)
        if is_free(port):
            found.add(port)
    return sorted(found)


def _serve(port: int, upstream: str) -> None:
    _Forwarding.upstream = upstream
    ThreadingHTTPServer((LOOPBACK, port), _Forwarding).serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
