"""Check plans on disk: a suite is compiled once, until it, its columns or the compiler changes."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.adapters.stores.whole_files import write_whole
from pipelines.domain.check_plan import CheckPlan, plan_as_json, plan_from_json
from pipelines.domain.digest import digest_of

if TYPE_CHECKING:
    from pipelines.adapters.suites.gx_suites import Suite

COMPILER = ("great-expectations", "duckdb", "duckdb-engine", "sqlalchemy")
"""Packages whose version shapes a plan or says that it runs."""

PIPELINES = Path(__file__).parents[2]

WRITERS = (
    "adapters/suites/duckdb_checks.py",
    "adapters/suites/gx_aggregates.py",
    "adapters/suites/gx_compile.py",
    "adapters/suites/gx_on_duckdb.py",
    "domain/check_plan.py",
    "domain/sql_text.py",
)
"""Modules whose text shapes a plan: it is the plan's format, so no number must be raised by hand."""


def plan_of(suite: "Suite", cache: Path | None = None) -> CheckPlan:
    """Return the suite's plan, from ``cache`` (by default the home's) or compiled and kept there.

    A file that is damaged, or of another key, is compiled again. Raises SuiteError as
    ``gx_compile.compile_suite`` does.
    """
    key = _key(suite)
    kept = _read(_path(cache, key), key)
    return kept or compile_again(suite, cache)


def compile_again(suite: "Suite", cache: Path | None = None) -> CheckPlan:
    """Compile a suite, whatever is in the cache, and keep the plan. Imports GX."""
    from pipelines.adapters.suites.gx_compile import compile_suite

    plan, key = compile_suite(suite), _key(suite)
    document = {"key": key, "plan": plan_as_json(plan)}
    text = json.dumps({**document, "digest": digest_of(document)}, ensure_ascii=False)
    write_whole(_path(cache, key), text)
    return plan


def _key(suite: "Suite") -> str:
    return digest_of(
        {
            "suite": suite.digest,
            "columns": dict(suite.columns),
            "compiler": {name: version(name) for name in COMPILER},
            "format": digest_of([(PIPELINES / name).read_text("utf-8") for name in WRITERS]),
        }
    )


def _path(cache: Path | None, key: str) -> Path:
    if cache is None:
        from pipelines.adapters.settings import Settings

        cache = Settings().root / "cache" / "suites"
    return cache / f"{key}.json"


def _read(path: Path, key: str) -> CheckPlan | None:
    """Return the plan of a whole file with this key, else None: any damage is mended by compiling."""
    try:
        found = json.loads(path.read_text("utf-8"))
        whole = {"key": key, "plan": found["plan"]}
        return plan_from_json(found["plan"]) if found["digest"] == digest_of(whole) else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None
