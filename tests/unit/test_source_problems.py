"""Source problems: a declared source that cannot work is told before it is asked."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.domain.contract import Column, DeltaFolder, Files, Query, Table
from pipelines.domain.source_problems import source_problems
from pipelines.domain.sql_select import why_not_one_select

TABLE = Table(
    name="orders",
    source=Files(pattern="orders/*.csv"),
    columns=[
        Column("id", "int64"),
        Column("changed_at", "timestamp[UTC]"),
        Column("day", "date"),
        Column("code", "string"),
        Column("paid", "bool"),
        Column("note", "string", nullable=True),
    ],
    key=("id",),
)
SELECT = Query(connection="till", sql="select * from orders")
HOUR = timedelta(hours=1)


def told(**changes: Any) -> list[str]:  # noqa: ANN401 - fields of a table
    problems = source_problems(replace(TABLE, **changes), "shop, table 'orders'")
    return [str(problem).split("\n", 1)[0] for problem in problems]


def told_of(source: Any) -> list[str]:  # noqa: ANN401 - a source
    return [text.removeprefix("shop, table 'orders', source") for text in told(source=source)]


@pytest.mark.parametrize(
    "source",
    [
        TABLE.source,
        Files(pattern="o/*.txt", delimiter="\t", quote="", encoding="latin-1"),
        Files(pattern="o/*.csv", delimiter="|", quote="'", encoding="Shift_JIS", quiet=HOUR),
        Files(pattern="o/*.jsonl", format="jsonl", encoding="utf-8"),
        SELECT,
        replace(SELECT, sql="with a as (select 1) select * from a", watermark="code"),
        replace(SELECT, watermark="id", overlap=1),
        replace(SELECT, watermark="changed_at", overlap=HOUR),
        replace(SELECT, watermark="day", overlap=timedelta(days=2)),
        DeltaFolder(location="/data/their lake/orders"),
        DeltaFolder(location="s3://bucket/orders"),
        DeltaFolder(location="abfss://container@account.dfs.core.windows.net/orders"),
    ],
)
def test_a_source_that_can_work_has_no_problem(source: object) -> None:
    assert told(source=source) == []


@pytest.mark.parametrize("pattern", ["/etc/*", "../other/*.csv", "orders/../../x", " "])
def test_files_lie_inside_landing(pattern: str) -> None:
    assert told_of(Files(pattern=pattern)) == [
        f": expected a path inside the landing folder; found {pattern!r}."
    ]


def test_everything_wrong_with_files_is_told_at_once() -> None:
    source = Files(
        pattern="orders/*.csv",
        delimiter="||",
        quote="é",
        encoding="utf-9",
        maximum_bytes=0,
        maximum_ratio=float("nan"),
        quiet=-HOUR,
    )
    assert told_of(source) == [
        ", maximum_bytes: expected a number above zero; found 0.",
        ", maximum_ratio: expected a number above zero; found nan.",
        ", quiet: expected no negative time; found -1 day, 23:00:00.",
        ", delimiter: expected one ASCII letter that ends no line; found '||'.",
        ", quote: expected one ASCII letter that ends no line, or ''; found 'é'.",
        ", encoding: expected a text encoding; found 'utf-9'.",
    ]
    assert told_of(replace(source, format="parquet"))[3:] == []


def test_a_letter_is_a_quote_or_a_delimiter() -> None:
    assert told_of(Files(pattern="o/*.csv", delimiter=";", quote=";")) == [
        ", quote: expected another letter than the delimiter; found the same."
    ]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("UTF-16", "utf-16"), ("utf_32_le", "utf-32-le"), ("cp037", "cp037"), ("utf-7", "utf-7")],
)
def test_csv_in_an_encoding_of_other_bytes_is_refused_by_name(encoding: str, name: str) -> None:
    assert told_of(Files(pattern="o/*.csv", encoding=encoding)) == [
        f", encoding: expected an encoding in which ASCII letters keep their bytes; found {name!r}."
    ]


@pytest.mark.parametrize("encoding", ["base64", "rot13", "hex", "", "utf-8\0"])
def test_a_codec_that_is_no_text_encoding_is_none(encoding: str) -> None:
    assert told_of(Files(pattern="o/*.csv", encoding=encoding)) == [
        f", encoding: expected a text encoding; found {encoding!r}."
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"connection": "Till-1"},
            ", connection: expected lower-case words joined by single underscores; found 'Till-1'.",
        ),
        (
            {"connection": "postgresql://sam:secret@host.example.com/database"},
            ", connection: expected lower-case words joined by single underscores; "
            "found a longer text.",
        ),
        (
            {"sql": "delete from orders"},
            ", sql: expected one SELECT, or WITH ... SELECT; found one that begins with 'delete'.",
        ),
        (
            {"watermark": "note"},
            ", watermark: expected a column that is never empty; found 'note', which may be.",
        ),
        (
            {"watermark": "paid"},
            ", watermark: expected a column of type int64, timestamp[UTC], date, string; "
            "found 'paid' of type bool.",
        ),
        (
            {"watermark": "updated"},
            ", watermark: expected a column out of id, changed_at, day, code, paid, note; "
            "found 'updated'.",
        ),
        (
            {"overlap": HOUR},
            ", overlap: expected a watermark to count back from; found none.",
        ),
        (
            {"watermark": "code", "overlap": 1},
            ", overlap: expected none for a text; found 1.",
        ),
        (
            {"watermark": "id", "overlap": HOUR},
            ", overlap: expected a whole number above zero for a watermark of type int64; "
            "found datetime.timedelta(seconds=3600).",
        ),
        (
            {"watermark": "id", "overlap": 0},
            ", overlap: expected a whole number above zero for a watermark of type int64; found 0.",
        ),
        (
            {"watermark": "changed_at", "overlap": 3600},
            ", overlap: expected a timedelta above zero for a watermark of type timestamp[UTC]; "
            "found 3600.",
        ),
        (
            {"watermark": "changed_at", "overlap": -HOUR},
            ", overlap: expected a timedelta above zero for a watermark of type timestamp[UTC]; "
            "found datetime.timedelta(days=-1, seconds=82800).",
        ),
        (
            {"watermark": "day", "overlap": timedelta(hours=36)},
            ", overlap: expected whole days above zero for a watermark of type date; "
            "found datetime.timedelta(days=1, seconds=43200).",
        ),
    ],
)
def test_a_query_that_cannot_work_is_told(changes: dict[str, Any], expected: str) -> None:
    assert told_of(replace(SELECT, **changes)) == [expected]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("", "expected an absolute path or a known URL; found a relative path, or nothing."),
        ("data/x", "expected an absolute path or a known URL; found a relative path, or nothing."),
        ("ftp://h/x", "expected an absolute path or a known URL; found scheme 'ftp'."),
        ("/data/100%", "expected none of % * [ ]; found %."),
        ("s3://key:secret@bucket/x", "expected a URL without a password; found one."),
    ],
)
def test_a_delta_folder_that_cannot_work_is_told(location: str, expected: str) -> None:
    assert told_of(DeltaFolder(location=location)) == [f", location: {expected}"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("changed_at", []),
        (
            "changed",
            ["expected a column out of id, changed_at, day, code, paid, note; found 'changed'."],
        ),
        ("day", ["expected a column of type timestamp[UTC]; found 'day' of type date."]),
        (
            "note",
            [
                "expected a column that is never empty; found 'note', which may be.",
                "expected a column of type timestamp[UTC]; found 'note' of type string.",
            ],
        ),
    ],
)
def test_known_at_is_a_moment_that_every_row_has(column: str, expected: list[str]) -> None:
    where = "shop, table 'orders', known_at: "
    assert told(known_at=column) == [where + text for text in expected]


def test_to_fill_a_missing_column_one_must_be_nullable() -> None:
    assert told(on_missing_column="fill") == []
    assert told(on_missing_column="fill", columns=TABLE.columns[:5]) == [
        "shop, table 'orders', on_missing_column: expected a nullable column that may be filled; "
        "found none."
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        " \n-- delete\n/* drop /* nested */ ; */ SELECT 1;",
        "select ';)' as a, \";(\" as b, E'\\';' as c, $$;)$$ as d, $x$ $$ ; $x$ as e",
        "with a as (select 1), b as (select (2)) select * from a, b",
        'select deleted, inserted, "into" from updates',
        "select 'it''s; fine'",
        "select * from a where b in (select c from d)",
    ],
)
def test_one_select_is_known_as_such(sql: str) -> None:
    assert why_not_one_select(sql) == ""


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("", "nothing"),
        (" -- select 1", "nothing"),
        ("select 1; select 2", "several statements"),
        ("select 1) as x; drop table y; --", "several statements"),
        ("select 1) as x, (select 2", "a parenthesis that closes none"),
        ("select (1", "a parenthesis left open"),
        ("select 'a", "a text left open"),
        ("select $a$ $b$", "a text left open"),
        ("select 1 /* /* */", "a comment left open"),
        ("update orders set id = 1", "one that begins with 'update'"),
        ("explain analyze delete from orders", "one that begins with 'explain'"),
        ("with a as ( /* x */ DELETE from b returning 1) select 1", "'delete', which changes rows"),
        ("with a as (insert into b values (1)) select 1", "'insert', which changes rows"),
        ("select * into new from orders", "'into', which makes a table"),
    ],
)
def test_what_is_not_one_select_is_told_why(sql: str, why: str) -> None:
    assert why_not_one_select(sql) == why
