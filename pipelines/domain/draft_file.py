"""Draft file: the text of a new use case's DAG file, formatted, every guess beside what it decides."""

import builtins
import keyword
from collections.abc import Iterator

from pipelines.domain.draft_query import feature_query
from pipelines.domain.python_text import (
    INDENT,
    argument,
    call,
    exploded,
    listed,
    names,
    text,
)
from pipelines.domain.sample_guesses import told
from pipelines.domain.sample_table import SampleColumn
from pipelines.domain.use_case_draft import FEWEST_HELD_OUT_DAYS, Draft, DraftTable

CANDIDATE = '''
def hist_gradient_boosting(columns: FeatureColumns, seed: int) -> Any:  # noqa: ANN401 - sklearn
    """Build gradient-boosted trees that take missing numbers and categories as they are."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    categories = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        max_categories=200,  # the trees take 255; rarer levels count as one
    )
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", "passthrough", list(columns.numeric)),
                ("categories", categories, list(columns.categorical)),
            ]
        ),
        HistGradientBoostingClassifier(
            learning_rate=0.05,
            max_iter=100,
            max_leaf_nodes=7,
            min_samples_leaf=50,
            l2_regularization=1.0,
            categorical_features=[name in columns.categorical for name in columns.all],
            random_state=seed,
        ),
    )
'''

IMPORTED = (
    *("BeatsBaseline", "BeatsChampion", "Calibrated", "Candidate", "Column", "CompatibleSignature"),
    *("CsvFile", "FeatureColumns", "Files", "ForwardTime", "KnownTables", "Label", "Monitoring"),
    *("NoLeakage", "Reproducible", "Retraining", "Scoring", "Table", "Training", "UseCase"),
    "features",
)
"""What a trained use case's file imports of ``pipelines.use_case``, sorted as ruff sorts it."""

IMPORTED_TO_EXPLORE = ("Column", "Files", "Table", "UseCase")

TAKEN = {
    *(*IMPORTED, "Any", "TYPE_CHECKING", "UTC", "build_dags", "datetime", "duckdb", "time"),
    *("timedelta", "hist_gradient_boosting", *dir(builtins), *keyword.kwlist, *keyword.softkwlist),
}
"""Names that mean something else in the file."""


def dag_file(draft: Draft) -> str:
    """Return the text of ``dags/<name>.py``."""
    lines = [*_head(draft), ""]
    for table in draft.tables:
        lines += _table(table, draft)
    if draft.label is not None:
        lines += ["", "", *_features(draft), "", *CANDIDATE.rstrip("\n").split("\n"), "", ""]
    else:
        lines.append("")
    lines += [*_use_case(draft), f"build_dags({_variable(draft)})"]
    return "\n".join(lines) + "\n"


def _variable(draft: Draft) -> str:
    """Return the Python name of the use case: its own where that is free."""
    others = {_table_variable(table) for table in draft.tables}
    return f"{draft.name}_use_case" if draft.name in TAKEN | others else draft.name


def _table_variable(table: DraftTable) -> str:
    return f"{table.name}_table" if table.name in TAKEN else table.name


def _head(draft: Draft) -> Iterator[str]:
    if draft.label is None:
        yield f'"""{_title(draft)}: tables and their quality."""'
        yield ""
        yield "from pipelines.dag_factory import build_dags"
        yield f"from pipelines.use_case import {', '.join(IMPORTED_TO_EXPLORE)}"
        return
    yield f'"""{_title(draft)}: for each of {draft.entities.name}, will it be {draft.label.name}?'
    yield ""
    yield f"Every day at {draft.at:%H:%M} {draft.timezone} each row of {draft.entities.name} that is known by then, and"
    yield "whose event is ahead and before the next day's time, gets a probability."
    yield '"""  # noqa: D400 - it is a question'
    yield ""
    yield "from datetime import UTC, datetime, time, timedelta"
    yield "from typing import TYPE_CHECKING, Any"
    yield ""
    yield "from pipelines.dag_factory import build_dags"
    yield from exploded("from pipelines.use_case import ", [f"{name}," for name in IMPORTED])
    yield ""
    yield "if TYPE_CHECKING:"
    yield f"{INDENT}import duckdb"


def _function(draft: Draft) -> str:
    """Return the name of the feature function, which no table has."""
    name = f"{draft.entities.name}_features"
    return f"{name}_view" if name in {table.name for table in draft.tables} else name


def _title(draft: Draft) -> str:
    return draft.name.replace("_", " ").capitalize()


def _table(table: DraftTable, draft: Draft) -> list[str]:
    source = table.sample.source
    files = [f"pattern={text(source.pattern)}"]
    if source.delimiter != ",":
        files.append(f"delimiter={text(source.delimiter)}")
    columns = "\n".join(_columns(table))
    arguments = [
        argument(f"name={text(table.name)}", table.purpose),
        "\n".join(call("source=Files", files, tail=",")),
        f"columns=[\n{columns}\n],",
        argument(names("key=", table.key), table.note("key")),
    ]
    if table.event_time:
        code = f"event_time={text(table.event_time)}"
        arguments.append(argument(code, table.note("event_time")))
    if table.known_at:
        arguments.append(argument(f"known_at={text(table.known_at)}", table.note("known_at")))
    return exploded(f"{_table_variable(table)} = Table", arguments)


def _columns(table: DraftTable) -> Iterator[str]:
    for column in table.sample.columns:
        parts = [text(column.name), text(column.type)]
        if column.nullable:
            parts.append("nullable=True")
        made = call("Column", parts, depth=2, tail=",")
        code = "\n".join(line[len(INDENT) * 2 :] for line in made).removesuffix(",")
        lines = argument(code, _column_note(column), depth=2)
        yield from (f"{INDENT}{line}" for line in lines.split("\n"))


def _column_note(column: SampleColumn) -> str:
    if column.hint:
        return column.hint
    if column.nullable:
        return f"empty in {column.missing:,} of {column.rows:,} sample rows"
    return "one value only in the sample" if column.distinct == 1 < column.rows else ""


def _features(draft: Draft) -> Iterator[str]:
    assert draft.label is not None  # noqa: S101 - the caller looked
    assert draft.view is not None  # noqa: S101 - there is one where there is a label
    entities, by_name = draft.entities, {table.name: table for table in draft.tables}
    reads = [draft.outcomes, *(by_name[table.name] for table in draft.view.joined)]
    tables = listed("reads=", [_table_variable(table) for table in reads])
    yield from call("@features", [f"entity={_table_variable(entities)}", tables])
    returns = ' -> "duckdb.DuckDBPyRelation":'
    yield from call(f"def {_function(draft)}", ["known: KnownTables"], tail=returns)
    rates = f"; {' and '.join(draft.view.rates)} by past outcomes" if draft.view.rates else ""
    yield f'{INDENT}"""Describe each asked row by its own columns and its hour{rates}."""'
    for name, reason in draft.view.left_out:
        yield f"{INDENT}# Left out: {name}, {reason}."
    yield f'{INDENT}return known.sql("""'
    query = feature_query(
        draft.view, entities=entities.name, key=entities.key, label=draft.label.name
    )
    yield from (f"{INDENT * 2}{line}" for line in query)
    yield f'{INDENT}""")'


def _use_case(draft: Draft) -> list[str]:
    arguments = [
        f"name={text(draft.name)},",
        f"owner={text(draft.owner)},",
    ]
    if draft.label is not None:
        arguments += [
            f"purpose={text(f'Tell which of {draft.entities.name} will be {draft.label.name}.')},",
            f"tier={text(draft.tier)},",
        ]
    tables = [_table_variable(table) for table in draft.tables]
    arguments.append(f"{listed('tables=', tables)},")
    if draft.label is not None:
        arguments += [f"features={_function(draft)},", *_model(draft)]
    return exploded(f"{_variable(draft)} = UseCase", arguments)


def _model(draft: Draft) -> Iterator[str]:
    label, view, start = draft.label, draft.view, draft.start
    assert label is not None and view is not None and start is not None  # noqa: S101, PT018 - as above
    yield _exploded(
        "label=Label",
        f"name={text(label.name)},",
        f"table={_table_variable(draft.outcomes)},",
        f"rule={text(label.rule)},",
        argument(f"expected_after={told(label.expected_after)}", label.note, depth=2),
        argument(f"final_after={told(label.final_after)}", "guess: twice as long", depth=2),
    )
    span = f"guess: whole weeks, {100 * draft.test_days / draft.days:.0f} % of the sample's days"
    if draft.test_days == FEWEST_HELD_OUT_DAYS:
        span = f"the fewest there may be: the sample spans {draft.days:,} days"
    yield _exploded(
        "training=Training",
        argument(
            f"start=datetime({start.year}, {start.month}, {start.day}, tzinfo=UTC)",
            "the sample's first day",
            depth=2,
        ),
        argument(f"split=ForwardTime(test_days={draft.test_days})", span, depth=2),
        'candidates=[Candidate("hist_gradient_boosting", hist_gradient_boosting)],',
        'baseline="prior_rate",',
        "seed=7,",
    )
    gates = (
        argument(
            'BeatsBaseline("log_loss", margin=0.0)',
            "any gain, at 95 % confidence over days",
            depth=2,
        ),
        'BeatsChampion("log_loss", confidence=0.95),',
        "Calibrated(0.1),",
        "NoLeakage(),",
        "CompatibleSignature(),",
        "Reproducible(),",
    )
    inner = "\n".join(f"{INDENT}{line}" for gate in gates for line in gate.split("\n"))
    yield f"gates=[\n{inner}\n],"
    to = [f"name={text('all_' + draft.entities.name)}", f"consumer={text(draft.owner)}"]
    outputs = listed("outputs=", ["\n".join(call("CsvFile", to))], depth=2)
    yield _exploded(
        "scoring=Scoring",
        f"at=time({draft.at.hour}, {draft.at.minute}),"
        if draft.at.minute
        else f"at=time({draft.at.hour}),",
        f"timezone={text(draft.timezone)},",
        f"{outputs},",
    )
    watched = ["alarms_per_quarter=1"]
    if view.segment:
        watched.append(f"segments=[{text(view.segment)}]")
    yield "\n".join(call("monitoring=Monitoring", watched, tail=","))
    yield 'retraining=Retraining(schedule="@monthly"),'


def _exploded(head: str, *arguments: str) -> str:
    return "\n".join(exploded(head, arguments, tail=","))
