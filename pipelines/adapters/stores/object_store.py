"""Object stores: folders named by a URL, their objects, and whether a store can keep commits."""

import difflib
import os
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from pipelines.adapters.stores.store_outages import outages
from pipelines.errors import Problem, SettingsError

SCHEMES = ("s3", "gs", "az", "abfss")
"""URL schemes of folders outside this machine, spelt alike by obstore and delta-rs."""

SETTINGS = ("AWS_", "AZURE_", "GOOGLE_")
"""Beginnings of the environment variables that both libraries read addresses and credentials from."""

MOST_RETRIES = 10
"""Tries after the first inside the libraries (2 to 5 s in all, measured); the task's own follow."""

RETRY_SECONDS = 30
"""No request is tried again later than this after its first try."""

CHUNK_BYTES = 8 << 20
"""Size of a part of an upload or a download; larger files are never whole in memory."""

PROBE = "_headframe_probe"
"""Folder of the probe objects; delta-rs passes over names that begin with an underscore."""


@dataclass(frozen=True, slots=True, order=True)
class StoreUrl:
    """A folder or an object in a store: ``root`` is scheme and bucket, ``path`` has no outer slash.

    ``/``, ``name``, ``parent``, ``parts`` and ``relative_to`` mean what they mean on a Path.
    """

    root: str
    path: str = ""

    def __truediv__(self, below: str) -> "StoreUrl":
        """Return what is called ``below`` under this folder."""
        return StoreUrl(self.root, "/".join(part for part in (self.path, below.strip("/")) if part))

    def __str__(self) -> str:
        return f"{self.root}/{self.path}".rstrip("/")

    @property
    def parts(self) -> tuple[str, ...]:
        """The names along ``path``; none for the bucket itself."""
        return tuple(self.path.split("/")) if self.path else ()

    @property
    def name(self) -> str:
        """The last name along ``path``; empty for the bucket itself."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "StoreUrl":
        """The folder that holds this one; the bucket holds itself."""
        return StoreUrl(self.root, self.path.rpartition("/")[0])

    def relative_to(self, folder: "StoreUrl") -> str:
        """Return the path below ``folder``; raises ValueError for what is not below it."""
        if self.root != folder.root or self.parts[: len(folder.parts)] != folder.parts:
            raise ValueError("not below that folder")
        return "/".join(self.parts[len(folder.parts) :])

    def as_uri(self) -> str:
        """Return the URL with its path percent-encoded."""
        return f"{self.root}/{quote(self.path)}".rstrip("/")


Folder: TypeAlias = Path | StoreUrl
"""Where tables or landed files lie: a local folder, or one in an object store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One object: its path below the folder listed, and what the store says about its content."""

    name: str
    size: int
    etag: str
    modified: datetime


def folder_of(text: str) -> Folder:
    """Return the folder that a setting names: an absolute Path, or a StoreUrl for a URL.

    Raises SettingsError for a URL that is not one of ours, without its text: it may hold a secret.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text).absolute()
    if scheme == "file" and rest.startswith("/"):
        return Path(rest)
    if scheme not in SCHEMES:
        near = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}://? " if near else ""
        raise _settings(
            f"a path, or a URL that begins with {', '.join(f'{name}://' for name in SCHEMES)}",
            f"{scheme}://" if re.fullmatch(r"[A-Za-z0-9+.-]{1,12}", scheme) else "another scheme",
            f"Correct the setting ({meant}a local folder needs no scheme).",
        )
    bucket, _, path = rest.partition("/")
    # abfss:// names its container before an @; anywhere else that would be a user or a secret.
    shape = r"[\w.-]+@[\w.-]+" if scheme == "abfss" else r"[\w.-]+"
    if not re.fullmatch(shape, bucket, re.ASCII):
        raise _settings(
            f"the name of a bucket after {scheme}://",
            "something else",
            "Write s3://bucket/folder, gs://bucket/folder, az://container/folder or "
            "abfss://container@account.dfs.core.windows.net/folder; "
            "credentials belong in environment variables.",
        )
    path = path.strip("/")
    names = path.split("/") if path else []
    if not all(re.fullmatch(r"[\w.=-]+", name, re.ASCII) and name.strip(".") for name in names):
        raise _settings(
            "letters, digits, and . _ - = in a store's folder",
            "other characters, or an empty name",
            "Choose a folder without them: delta-rs would look for it elsewhere.",
        )
    return StoreUrl(f"{scheme}://{bucket}", path)


def local(folder: Folder) -> Path:
    """Return ``folder`` where it must be on this machine; raises SettingsError for a store."""
    if isinstance(folder, Path):
        return folder
    raise SettingsError(
        Problem(
            where=str(folder),
            expected="a folder on this machine",
            found="one in an object store",
            fix="Unset HEADFRAME_LANDING (or HEADFRAME_LAKE) for this command.",
        )
    )


def listing(folder: StoreUrl) -> list[Listed]:
    """Return every object below ``folder``, sorted by name; a request per thousand of them."""
    with outages(folder.root):
        found = _obstore().list(_store(folder), folder.path or None).collect()
    inside = len(folder.path) + 1 if folder.path else 0
    return sorted(
        (
            Listed(
                name=item["path"][inside:],
                size=item["size"],
                etag=item["e_tag"] or "",
                modified=item["last_modified"],
            )
            for item in found
        ),
        key=lambda listed: listed.name,
    )


def folders(folder: StoreUrl) -> list[str]:
    """Return the names of the folders directly below, sorted; one request, whatever they hold."""
    with outages(folder.root):
        found = _obstore().list_with_delimiter(_store(folder), folder.path or None)
    return sorted(prefix.rpartition("/")[2] for prefix in found["common_prefixes"])


def has(folder: StoreUrl) -> bool:
    """Tell whether anything lies below ``folder``; one request."""
    with outages(folder.root):
        found = _obstore().list_with_delimiter(_store(folder), folder.path or None)
    return bool(found["objects"] or found["common_prefixes"])


def exists(url: StoreUrl) -> bool:
    """Tell whether the object ``url`` exists."""
    try:
        with outages(url.root):
            _obstore().head(_store(url), url.path)
    except FileNotFoundError:
        return False
    return True


def fetch(url: StoreUrl, to: Path) -> None:
    """Copy the object to the local file ``to``, in pieces; raises FileNotFoundError if absent."""
    with outages(url.root), to.open("wb") as file:
        for piece in _obstore().get(_store(url), url.path).stream(min_chunk_size=CHUNK_BYTES):
            file.write(piece)


def put(path: Path, url: StoreUrl) -> None:
    """Copy the local file ``path`` to the object ``url``, replacing it; large files go in parts."""
    with outages(url.root):
        _obstore().put(_store(url), url.path, path, chunk_size=CHUNK_BYTES, max_concurrency=4)


def copy(source: StoreUrl, to: StoreUrl) -> None:
    """Copy an object inside its store, without fetching it; raises FileNotFoundError if absent."""
    with outages(source.root):
        _obstore().copy(_store(source), source.path, to.path)


def read_bytes(url: StoreUrl) -> bytes:
    """Return the object's content; raises FileNotFoundError if absent."""
    with outages(url.root):
        return bytes(_obstore().get(_store(url), url.path).bytes())


def put_bytes(url: StoreUrl, content: bytes, *, create_only: bool = False) -> bool:
    """Write the object; with ``create_only`` return False, writing nothing, where there is one.

    When the store's answer is lost, ServiceUnavailable is raised though the object may be there.
    """
    from obstore.exceptions import AlreadyExistsError

    mode = "create" if create_only else "overwrite"
    try:
        with outages(url.root):
            _obstore().put(_store(url), url.path, content, mode=mode)
    except AlreadyExistsError:
        return False
    return True


def delete(url: StoreUrl) -> None:
    """Remove the object, if it is there."""
    try:
        with outages(url.root):
            _obstore().delete(_store(url), url.path)
    except FileNotFoundError:
        return


def refuse_unsafe(folder: Folder) -> None:
    """Raise SettingsError for a store where a second writer could overwrite a commit.

    A commit is an object that must be created only if it is absent, so this creates a probe twice:
    the second time must be refused. A local folder needs no probe.
    """
    from obstore.exceptions import NotSupportedError

    if isinstance(folder, Path):
        return
    probe = folder / PROBE / uuid.uuid4().hex
    try:
        # A False of the first is its own echo: the answer was lost and the library tried again.
        put_bytes(probe, b"1", create_only=True)
        overwritten = put_bytes(probe, b"2", create_only=True)
    except NotSupportedError:
        raise _unsafe(folder, "one that cannot") from None
    delete(probe)
    if overwritten:
        raise _unsafe(folder, "one that overwrites it, so this store would lose commits")


def refuse_no_address() -> None:
    """Raise SettingsError for an address that is no URL: the libraries would panic over it."""
    for name, value in os.environ.items():
        if name.startswith(SETTINGS) and "ENDPOINT" in name and not value.startswith("http"):
            raise SettingsError(
                Problem(
                    where=f"environment variable {name}",
                    expected="an address that begins with https:// (or http://)",
                    found="something else",
                    fix="Correct it, or unset it to use the provider's own address.",
                )
            )


def surroundings() -> int:
    """Return what stands for this process and its credentials: a hash, so that nothing shows them.

    A connection is kept as long as it stays the same; its threads do not survive a fork.
    """
    return hash((os.getpid(), *sorted(v for v in os.environ.items() if v[0].startswith(SETTINGS))))


def _obstore() -> Any:  # noqa: ANN401 - untyped library
    import obstore

    return obstore


def _store(url: StoreUrl) -> Any:  # noqa: ANN401 - untyped library
    refuse_no_address()
    with outages(url.root):
        return _connected(url.root, surroundings())


@lru_cache(maxsize=8)
def _connected(root: str, _surroundings: int) -> Any:  # noqa: ANN401 - untyped library
    from obstore.store import AzureStore, from_url

    retries = {"max_retries": MOST_RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    if root.startswith("az://"):
        # obstore reads az:// as az://account/container; delta-rs takes the container.
        return AzureStore(root.removeprefix("az://"), retry_config=retries)
    return from_url(root, retry_config=retries)


def _unsafe(folder: StoreUrl, found: str) -> SettingsError:
    return SettingsError(
        Problem(
            where=f"object store {folder.root}",
            expected="a store that creates an object only if it is absent (If-None-Match)",
            found=found,
            fix="Use a store, or a release of it, that keeps this promise.",
        )
    )


def _settings(expected: str, found: str, fix: str) -> SettingsError:
    where = "HEADFRAME_LAKE or HEADFRAME_LANDING"
    return SettingsError(Problem(where=where, expected=expected, found=found, fix=fix))
