"""Shared modules: the files that use cases import from, found beside them as Airflow finds them."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from pipelines.domain.shared_code import SHARED, files_of, is_shared, shared_imports

_one_at_a_time = threading.RLock()


def shared_files(folder: Path, use_case: str) -> dict[str, Path]:
    """Return path below ``folder`` -> file of every shared file that a use case imports, sorted.

    Those that shared files import in their turn are among them. Raises DeclarationError for a form
    of import that does not name what it takes.
    """
    found: dict[str, Path] = {}
    waiting = [f"{use_case}.py"]
    while waiting:
        name = waiting.pop()
        path = folder / name
        if name in found or not path.is_file():
            continue
        found[name] = path
        waiting += files_of(shared_imports(path.read_text("utf-8"), name))
    return {name: path for name, path in sorted(found.items()) if name != f"{use_case}.py"}


@contextmanager
def modules_of(folder: Path) -> Iterator[None]:
    """Let what runs import the shared modules of ``folder``, read anew; later imports find them too.

    One folder's at a time: another folder's are forgotten.
    """
    with _one_at_a_time:
        before = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
        present = (folder / SHARED).is_dir()
        if before or present:
            for name in [name for name in sys.modules if is_shared(name)]:
                del sys.modules[name]
        for finder in before:
            sys.meta_path.remove(finder)
        if present:
            sys.meta_path.insert(0, _Finder(folder))
        yield


class _Finder(MetaPathFinder):
    """Finds the shared package in one folder, whatever else on the path has its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a shared module is; None for any other module, and for one that is not there."""
        if not is_shared(fullname):
            return None
        within = [str(self._folder)] if fullname == SHARED else path
        spec = PathFinder.find_spec(fullname, within, target)
        if spec is None:
            return None
        if spec.loader is None:  # a folder without __init__.py
            plain = ModuleSpec(fullname, None, is_package=True)
            plain.submodule_search_locations = list(spec.submodule_search_locations or ())
            return plain
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = _FromText(fullname, spec.loader.path)
        return spec


class _FromText(SourceFileLoader):
    """Compiles the text each time: bytecode is known by second and size, and an edit may keep both."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the module's code."""
        path = self.get_filename(fullname)
        compiled: CodeType = self.source_to_code(self.get_data(path), path)
        return compiled
