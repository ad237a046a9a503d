"""Tables as the command line names them: by table, and by use case where that is not enough."""

import difflib

from pipelines.adapters.settings import Settings
from pipelines.cli.terminal import errors
from pipelines.domain.contract import Table
from pipelines.errors import Problem, SettingsError
from pipelines.use_case import UseCase, load, load_all


def use_cases(settings: Settings, name: str = "") -> list[UseCase]:
    """Return the use cases, or the one called ``name``; broken declarations are told and left out."""
    folder = settings.dags.absolute()
    if name:
        return [load(folder / f"{name}.py")]
    sound, broken = load_all(folder)
    for error in broken:
        errors.print(str(error), markup=False, highlight=False)
    return list(sound.values())


def find_table(settings: Settings, table: str, use_case: str = "") -> tuple[UseCase, Table]:
    """Return the table and its use case.

    Raises SettingsError where no use case, or several, declare such a table, and DeclarationError
    where the use case asked for is wrong.
    """
    declared = use_cases(settings, use_case)
    found = [(u, t) for u in declared for t in u.tables if t.name == table]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(u.name for u, _ in found)
        raise _wrong(table, "a table of one use case", f"one in {names}", "Add --use-case.")
    known = sorted({t.name for u in declared for t in u.tables})
    near = difflib.get_close_matches(table, known, n=1)
    told = f"no such table{f' (did you mean {near[0]!r}?)' if near else ''}"
    expected = f"one of {', '.join(known)}" if known else "a declared table"
    raise _wrong(table, expected, told, "Correct the name; `headframe list` shows all tables.")


def _wrong(table: str, expected: str, found: str, fix: str) -> SettingsError:
    return SettingsError(Problem(where=f"table {table!r}", expected=expected, found=found, fix=fix))
