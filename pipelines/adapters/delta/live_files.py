"""Live files: the data files that a table's newest version holds."""

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pipelines.adapters.delta.delta_handles import opened, opened_if_exists
from pipelines.adapters.stores.object_store import Folder

if TYPE_CHECKING:
    from deltalake import DeltaTable


def paths(table: Folder) -> list[str]:
    """Return the paths (in a store: the URLs) of the files of ``table``; raises LakeError if absent."""
    return _paths(opened(table))


class Names(Collection[str]):
    """Names of the files of ``table``, none if it is absent; looked up when first asked for."""

    def __init__(self, table: Folder) -> None:
        self._table = table

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def _names(self) -> set[str]:
        handle = opened_if_exists(self._table)
        return set() if handle is None else {path.rpartition("/")[2] for path in _paths(handle)}


def _paths(handle: "DeltaTable") -> list[str]:
    return [unquote(str(uri).removeprefix("file://")) for uri in handle.file_uris()]
