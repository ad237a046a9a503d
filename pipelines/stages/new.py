"""New: a use case drafted from sample files, checked as a whole, and only then written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.adapters.landing import unlanded
from pipelines.adapters.models import known
from pipelines.adapters.samples import kept_samples, new_files, sample_files
from pipelines.adapters.settings import Settings
from pipelines.adapters.suites import profiles, suggested_suite
from pipelines.domain.draft_file import dag_file
from pipelines.domain.draft_tests import text_of_tests
from pipelines.domain.drafting import Wishes, draft
from pipelines.domain.sample_table import SampleTable
from pipelines.domain.suggestions import suggest
from pipelines.domain.use_case_draft import Draft, DraftTable
from pipelines.errors import DeclarationError
from pipelines.use_case import UseCase, load


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file of rows, and the name of its table; "" takes the file's."""

    path: Path
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was written, as paths below the project, and what whoever asked should look at."""

    use_case: UseCase
    files: tuple[str, ...]
    rows: Mapping[str, int]
    guesses: tuple[str, ...]
    without_rules: tuple[str, ...]
    drafted: Draft


def new(
    settings: Settings,
    wishes: Wishes,
    *,
    entities: Sample,
    outcomes: Sample | None = None,
    others: Sequence[Sample] = (),
) -> Made:
    """Write ``dags/<name>.py``, its suites, its tests and their sample rows; all of it or nothing.

    Raises SettingsError where a wish or a file cannot be used or a file is there already, FileRefused
    where ingest would refuse a sample, and DeclarationError where what was drafted is no sound use
    case, such as for a rule that is no SQL.
    """
    root = settings.dags.absolute().parent
    drafted = draft(
        wishes,
        _read(entities),
        _read(outcomes) if outcomes else None,
        [_read(other) for other in others],
    )
    text = dag_file(drafted)
    dag = settings.dags.absolute() / f"{drafted.name}.py"
    tests = root / "tests" / "use_cases"
    # Refused before minutes go into profiles; asked again when files are written.
    new_files.refuse_existing({dag: text, tests / f"test_{drafted.name}.py": ""}, root)
    declared = _checked(drafted.name, text)
    paths = [entities.path, *((outcomes.path,) if outcomes else ()), *(o.path for o in others)]
    suites = {
        table.name: _suite(drafted, table, path)
        for table, path in zip(drafted.tables, paths, strict=True)
    }
    files = {
        **{
            settings.expectations.absolute() / drafted.name / f"{name}.json": suite
            for name, suite in suites.items()
            if suite
        },
        **{
            tests / drafted.name / f"{name}.csv": rows
            for name, rows in kept_samples.kept(drafted).items()
        },
        tests / f"test_{drafted.name}.py": text_of_tests(drafted),
        dag: text,  # last: Airflow reads it as soon as it is there
    }
    new_files.write_all(files, root)
    return Made(
        use_case=declared,
        files=tuple(
            str(path.relative_to(root) if path.is_relative_to(root) else path) for path in files
        ),
        rows={table.name: table.sample.rows.num_rows for table in drafted.tables},
        guesses=tuple(drafted.guesses()),
        without_rules=tuple(name for name, suite in suites.items() if not suite),
        drafted=drafted,
    )


def _read(sample: Sample) -> SampleTable:
    return sample_files.read(sample.path, sample.name)


def _checked(name: str, text: str) -> UseCase:
    """Return the use case that the text declares, after all that `headframe check` asks of it."""
    with TemporaryDirectory(prefix="headframe-") as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(text, "utf-8")
        declared = load(path)
        if declared.features is not None and declared.label is not None:
            scoring = declared.scoring
            problems = known.rehearse(
                declared.features,
                declared.label,
                rules=scoring.rules if scoring else (),
                outputs=scoring.outputs if scoring else (),
            )
            if problems:
                raise DeclarationError(*problems)
    return declared


def _suite(drafted: Draft, table: DraftTable, path: Path) -> str:
    """Return a suite learned from the whole file; "" where no rule can be."""
    contract = table.contract()
    with unlanded.staged(path, contract) as staged:
        names = [str(file) for file in staged.files]
        profile = profiles.of_files(names, drafted.name, contract, source=staged.name)
    found = suggest(profile, contract)
    return suggested_suite.checked(found, contract) if found.expectations else ""
