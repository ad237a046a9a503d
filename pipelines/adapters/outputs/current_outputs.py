"""Current outputs: one output of one window, brought to what its predictions are now."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pipelines.adapters.outputs import file_forms, output_rows, placed_files, postgres_table
from pipelines.adapters.outputs.file_forms import FileOutput
from pipelines.adapters.outputs.output_rows import Subject, Window
from pipelines.adapters.outputs.placed_files import Sidecar
from pipelines.adapters.outputs.postgres_table import Standing
from pipelines.adapters.outputs.row_reasons import Models
from pipelines.adapters.settings import Settings
from pipelines.domain.digest import digest_of
from pipelines.domain.outputs import Output, PostgresTable

Outcome: TypeAlias = Literal["delivered", "replaced", "unchanged", "not_scored"]

Told: TypeAlias = Sidecar | Standing
"""What is noted of an output: which generation of a window it holds, and how many rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one output of one window is now; ``window`` is None where it never was scored."""

    output: Output
    scored_for: datetime
    window: Window | None
    outcome: Outcome
    rows: int = 0
    sha256: str = ""
    place: str = ""


def bring(
    settings: Settings,
    subject: Subject,
    output: Output,
    moment: datetime,
    *,
    connections: Callable[[str], str],
    models: Models,
) -> Made:
    """Bring one output of one scoring time to its consumer, unless this generation is there already.

    Raises what the output's own module raises; then what stood there still does.
    """
    if isinstance(output, PostgresTable):
        url = connections(output.connection)
        return _in_database(settings, subject, output, moment, url)
    return _in_file(models, subject, output, moment)


def _in_file(models: Models, subject: Subject, output: FileOutput, moment: datetime) -> Made:
    settings = models.settings
    folder = placed_files.folder(settings, subject.use_case, output.name)
    name = placed_files.file_name(moment, file_forms.ENDINGS[type(output)])

    def replace(window: Window) -> Sidecar:
        with placed_files.unfinished(folder, name) as path:
            rows = file_forms.write(models, subject, output, window, path)
            told = Sidecar(
                use_case=subject.use_case,
                output=output.name,
                kind=type(output).__name__,
                consumer=output.consumer,
                window=window.name,
                scored_for=moment.isoformat(),
                generation=window.generation,
                run_key=window.run_key,
                declared=digest_of(output),
                rows=rows,
                sha256=placed_files.digest_of_file(path),
            )
            placed_files.put(folder, name, path, told)
        return told

    with placed_files.locked(folder):
        return _brought(
            settings,
            subject,
            output,
            moment,
            standing=lambda _: placed_files.standing(folder, name),
            replace=replace,
            place=placed_files.shown(settings, folder / name),
        )


def _in_database(
    settings: Settings, subject: Subject, output: PostgresTable, moment: datetime, url: str
) -> Made:
    with postgres_table.opened(url, output, subject.use_case) as target:

        def replace(window: Window) -> Standing:
            with file_forms.opened(settings, subject, output, window) as (connection, columns):
                return target.replace(
                    output_rows.sorted_rows(connection, subject, columns),
                    key=subject.key,
                    window=window.name,
                    scored_for=moment,
                    generation=window.generation,
                    run_key=window.run_key,
                    declared=digest_of(output),
                )

        return _brought(
            settings,
            subject,
            output,
            moment,
            standing=lambda window: target.standing(window.name),
            replace=replace,
            place=f"{output.table} of connection {output.connection}",
        )


def _brought(
    settings: Settings,
    subject: Subject,
    output: Output,
    moment: datetime,
    *,
    standing: Callable[[Window], Told | None],
    replace: Callable[[Window], Told],
    place: str,
) -> Made:
    """Replace what stands at a place, unless it is the current generation as declared now.

    The caller holds the place's lock, so that an older generation never comes after a newer one.
    """
    window = output_rows.current(settings, subject.use_case, moment)
    if window is None:
        return Made(output=output, scored_for=moment, window=None, outcome="not_scored")
    told = standing(window)
    wanted = (window.generation, window.run_key, digest_of(output))
    outcome: Outcome = "delivered" if told is None else "replaced"
    if told and (told.generation, told.run_key, told.declared) == wanted:
        outcome = "unchanged"
    else:
        told = replace(window)
    return Made(
        output=output,
        scored_for=moment,
        window=window,
        outcome=outcome,
        rows=told.rows,
        sha256=told.sha256,
        place=place,
    )
