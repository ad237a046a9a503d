"""What edits of a declaration mean for those who use what it publishes: a corpus with verdicts."""

from dataclasses import replace
from datetime import time, timedelta
from typing import Any

import pytest

from pipelines.domain.declaration_changes import Change, declaration_changes, gravest
from pipelines.domain.digest import canonical
from pipelines.use_case import (
    ArrivesBy,
    BeatsBaseline,
    BusinessRule,
    Calibrated,
    Column,
    CsvFile,
    Files,
    KnownTables,
    Label,
    Monitoring,
    ParquetFile,
    PostgresTable,
    PredictionRange,
    Scoring,
    Table,
    TopN,
    UseCase,
    features,
)

visits = Table(
    name="visits",
    source=Files(pattern="visits/*.csv"),
    columns=[
        Column("visit", "string"),
        Column("starts_at", "timestamp[UTC]"),
        Column("pages", "int64"),
    ],
    key=("visit",),
    event_time="starts_at",
)
bills = Table(
    name="bills",
    source=Files(pattern="bills/*.csv"),
    columns=[Column("visit", "string"), Column("amount", "double", nullable=True)],
    key=("visit",),
)


@features(entity=visits, reads=[bills])
def visit_features(known: KnownTables) -> Any:  # noqa: ANN401 - never called
    return known.sql("select visit, pages from asked")


rule = BusinessRule("staff", "shop", when="pages > 900", then="0.0", reason="staff do not buy")
watch = TopN(10, name="watch", consumer="desk", by="p_paid")
every = CsvFile(name="every", consumer="warehouse", columns=("visit", "p_paid"))
whole = ParquetFile(name="whole", consumer="lab", columns=("visit", "p_paid"))
table = PostgresTable(name="table", consumer="site", connection="shop", table="scores")
scoring = Scoring(
    at=time(5),
    rules=[rule],
    outputs=[watch, every, whole, table],
    promises=[PredictionRange(0.0, 0.9), ArrivesBy(time(6))],
)
label = Label(
    name="paid",
    table=bills,
    rule="amount > 10",
    expected_after=timedelta(days=1),
    final_after=timedelta(days=3),
)
shop = UseCase(
    name="shop",
    owner="shop",
    tier="governed",
    tables=[visits, bills],
    features=visit_features,
    label=label,
    gates=[BeatsBaseline("log_loss", margin=0.01), Calibrated(0.1)],
    scoring=scoring,
)


def changed(after: UseCase) -> tuple[Change, ...]:
    return declaration_changes(canonical(shop), canonical(after))


def with_columns(*columns: Column) -> UseCase:
    return replace(shop, tables=[replace(visits, columns=list(columns)), bills])


def with_scoring(**fields: Any) -> UseCase:  # noqa: ANN401 - the fields of Scoring
    return replace(shop, scoring=replace(scoring, **fields))


def with_output(old: object, new: object) -> UseCase:
    outputs = [new if output is old else output for output in scoring.outputs]
    return with_scoring(outputs=[output for output in outputs if output is not None])


VISIT, STARTS, PAGES = visits.columns
EVERYBODY = ("desk", "warehouse", "lab", "site")
CORPUS = [
    ("another owner", replace(shop, owner="web"), "compatible", ()),
    ("watched by segment", replace(shop, monitoring=Monitoring(tolerance=0.1)), "compatible", ()),
    ("one more gate", replace(shop, gates=[*shop.gates, Calibrated(0.2)]), "compatible", ()),
    ("a gate set otherwise", replace(shop, gates=[shop.gates[0], Calibrated(0.2)]), "compatible", ()),
    ("a gate less", replace(shop, gates=shop.gates[:1]), "consent", ()),
    ("no approval any more", replace(shop, tier="scheduled"), "consent", ()),
    (
        "one more nullable column",
        with_columns(VISIT, STARTS, PAGES, Column("country", "string", nullable=True)),
        "compatible",
        (),
    ),
    (
        "one more column that may not be empty",
        with_columns(VISIT, STARTS, PAGES, Column("country", "string")),
        "breaking",
        (),
    ),
    ("a column less", with_columns(VISIT, STARTS), "breaking", ()),
    ("a column of another type", with_columns(VISIT, STARTS, Column("pages", "double")), "breaking", ()),
    ("a column that may be empty", with_columns(VISIT, STARTS, Column("pages", "int64", nullable=True)), "consent", ()),
    ("columns in another order", with_columns(STARTS, VISIT, PAGES), "compatible", ()),
    ("another key", replace(shop, tables=[replace(visits, key=("visit", "pages")), bills]), "breaking", ()),
    ("files elsewhere", replace(shop, tables=[replace(visits, source=Files(pattern="v/*.csv")), bills]), "compatible", ()),
    ("another label name", replace(shop, label=replace(label, name="bought")), "breaking", ()),
    ("another label rule", replace(shop, label=replace(label, rule="amount > 20")), "consent", ()),
    ("scored later", with_scoring(at=time(9)), "consent", EVERYBODY),
    ("scored once a week", with_scoring(weekday="monday"), "consent", EVERYBODY),
    ("another business rule", with_scoring(rules=[replace(rule, then="0.1")]), "consent", EVERYBODY),
    ("a rule's other reason", with_scoring(rules=[replace(rule, reason="they do not")]), "compatible", EVERYBODY),
    ("a narrower range", with_scoring(promises=[PredictionRange(0.1, 0.9), ArrivesBy(time(6))]), "compatible", ()),
    ("a wider range", with_scoring(promises=[PredictionRange(0.0, 1.0), ArrivesBy(time(6))]), "consent", EVERYBODY),
    ("a promise less", with_scoring(promises=[PredictionRange(0.0, 0.9)]), "consent", EVERYBODY),
    ("one more output", with_scoring(outputs=[*scoring.outputs, replace(whole, name="again")]), "compatible", ()),
    ("an output less", with_output(watch, None), "breaking", ("desk",)),
    ("a longer list", with_output(watch, replace(watch, count=20)), "consent", ("desk",)),
    ("a list by group", with_output(watch, replace(watch, per="pages")), "breaking", ("desk",)),
    ("a file of another form", with_output(every, ParquetFile(name="every", consumer="warehouse")), "breaking", ("warehouse",)),
    ("a column less in a file", with_output(every, replace(every, columns=("visit",))), "breaking", ("warehouse",)),
    ("one more column at the end of a CSV file", with_output(every, replace(every, columns=("visit", "p_paid", "pages"))), "consent", ("warehouse",)),
    ("one more column of Parquet", with_output(whole, replace(whole, columns=("pages", "visit", "p_paid"))), "compatible", ()),
    ("another table of the database", with_output(table, replace(table, table="scores2")), "breaking", ("site",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("after", "verdict", "consumers"), [edit[1:] for edit in CORPUS], ids=[e[0] for e in CORPUS]
)
def test_an_edit_means_to_its_users_what_the_corpus_says(
    after: UseCase, verdict: str, consumers: tuple[str, ...]
) -> None:
    (change,) = changed(after)
    assert (change.verdict, change.consumers) == (verdict, consumers), change.describe()
    assert change.reason


def test_an_unchanged_declaration_has_no_change() -> None:
    assert changed(replace(shop, tables=[visits, bills])) == ()
    assert gravest(()) == "compatible"


def test_all_edits_are_told_at_once_the_gravest_first() -> None:
    after = replace(with_output(watch, None), owner="web", label=replace(label, rule="amount > 20"))
    assert [change.verdict for change in changed(after)] == ["breaking", "consent", "compatible"]
    assert gravest(changed(after)) == "breaking"


def test_every_part_of_a_declaration_is_compared() -> None:
    """A field nobody thought of is a change all the same: none passes unseen."""
    before = canonical(shop)
    for name in before:
        if name not in ("type", "tables", "features", "label", "gates", "scoring"):
            assert declaration_changes(before, {**before, name: "edited"} | (
                {"tier": "explore"} if name == "tier" else {}
            )), name  # fmt: skip
    for part in ("label", "scoring"):
        for name in before[part]:
            if name in ("type", "table", "rules", "promises", "outputs"):
                continue
            value = 99 if name == "rescore_days" else "edited"
            after = {**before, part: {**before[part], name: value}}
            assert declaration_changes(before, after), f"{part} {name}"


def test_a_change_reads_as_a_sentence_that_says_whom_it_concerns() -> None:
    (change,) = changed(with_output(watch, replace(watch, count=20)))
    assert change.describe() == (
        "output 'watch', count: 10 -> 20; the list has another length (desk)"
    )
