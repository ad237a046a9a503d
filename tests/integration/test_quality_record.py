"""The record of quality: every check once, as a file, as rows of the ledger, as GX's result and page."""

import json
import os
import re
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from typer.testing import CliRunner

from pipelines.adapters import lake, lake_sql
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.settings import Settings
from pipelines.adapters.suites import quality_records
from pipelines.adapters.suites.data_docs import as_gx_json, page
from pipelines.cli import app
from pipelines.domain.quality import ExpectationResult
from pipelines.domain.quality_record import QualityRecord, record_as_json, record_from_json
from pipelines.errors import LakeError, QualityRefused
from pipelines.stages import ingest as ingest_stage
from pipelines.stages import quality_docs as docs_stage
from pipelines.stages.ingest import ingest
from pipelines.stages.quality_docs import quality_docs
from tests import shop
from tests.contracts.test_quality_equality import SAMPLES
from tests.faults import kills
from tests.shop import SHOP, at, land, land_orders, order

BETWEEN = "expect_column_values_to_be_between:amount"
MEAN = "expect_column_mean_to_be_between:amount"
NOTED = "expect_column_values_to_not_be_null:note"
DOCS = Path(__file__).parents[2] / "docs" / "quality.md"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return shop.settings_in(tmp_path)


def expect(home: Settings, severity: str = "critical", **meta: str) -> None:
    rules = [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "amount", "min_value": 0, "max_value": 100},
            "severity": severity,
            "meta": meta,
        },
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "note", "mostly": 0.5},
            "severity": "warning",
        },
        {
            "type": "expect_column_mean_to_be_between",
            "kwargs": {"column": "amount", "max_value": 50},
            "severity": "warning",
        },
    ]
    path = home.expectations / "shop" / "orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": "shop.orders", "expectations": rules}), "utf-8")


def take_in(home: Settings, run: str = "r1", as_of: datetime = shop.NEVER_ENDS) -> None:
    ingest(SHOP, home, as_of=as_of, run=run)


def ask(home: Settings, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake_sql.query(lake.table_paths(home), query).to_pylist()
    return rows


def ledger(home: Settings, columns: str = "rule, unexpected_count") -> list[tuple[Any, ...]]:
    rows = ask(home, f"select {columns} from ledger.quality order by run, suite_digest, rule")
    return [tuple(row.values()) for row in rows]


def record(home: Settings, name: str = "r1", table: str = "orders") -> QualityRecord:
    day = home.root / "quality" / "shop" / table / "2030-01-01"
    return quality_records.read_record(day / f"{name}.json")


def marks(home: Settings) -> list[str]:
    folder = home.root / "quality" / "shop" / quality_records.UNFINISHED
    return sorted(path.name for path in folder.iterdir())


def test_a_check_is_kept_whole_as_a_file_and_as_a_row_for_each_rule(home: Settings) -> None:
    expect(home, on_fail="quarantine")
    land_orders(home, "a.csv", [order(1), order(2, "-1"), order(3, "x"), order(4, "", "n")], at(1))
    take_in(home)
    kept = record(home)
    assert (kept.verdict, kept.landed, kept.rows, kept.rows_set_aside) == (
        "publish_and_flag",
        4,
        2,
        1,
    )
    assert kept.table_version == delta_tables.version(lake.silver(home, "shop", "orders"))
    assert kept.kwargs[BETWEEN] == {"column": "amount", "min_value": 0, "max_value": 100}
    assert kept.contract == {"contract:type:amount:double": 1, "contract:not_null:amount": 1}
    columns = "rule, columns, success, rows_evaluated, unexpected_count, table_version, verdict"
    assert ledger(home, columns) == [
        ("contract:not_null:amount", ["amount"], False, 4, 1, 1, "publish_and_flag"),
        ("contract:type:amount:double", ["amount"], False, 4, 1, 1, "publish_and_flag"),
        (MEAN, ["amount"], True, 2, 0, 1, "publish_and_flag"),
        (BETWEEN, ["amount"], False, 2, 1, 1, "publish_and_flag"),
        (NOTED, ["note"], False, 2, 2, 1, "publish_and_flag"),
    ]
    assert marks(home) == []


def test_a_table_without_a_suite_has_a_record_and_no_rows(home: Settings) -> None:
    land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    take_in(home)
    kept = record(home, table="prices")
    assert (kept.suite, kept.verdict, kept.rows, kept.results) == ("", "publish", 1, ())
    assert "ledger.quality" not in shop.versions(home)


def test_a_record_reads_as_it_was_written(home: Settings) -> None:
    expect(home, on_fail="quarantine")
    land_orders(home, "a.csv", [order(1), order(2, "-1"), "x,,,,,"], at(1))
    take_in(home)
    kept = record(home)
    assert record_from_json(json.loads(json.dumps(record_as_json(kept)))) == kept


def test_a_record_of_another_release_is_refused_by_name(home: Settings) -> None:
    land(home, "prices/a.csv", b"product,price\ntea,1\n", at(1))
    take_in(home)
    path = home.root / "quality" / "shop" / "prices" / "2030-01-01" / "r1.json"
    path.write_text('{"format": 2}', "utf-8")
    with pytest.raises(LakeError, match=r"quality/shop/prices/2030-01-01/r1\.json: expected"):
        quality_docs(home)


def test_an_ingest_without_news_records_nothing(home: Settings) -> None:
    expect(home, "warning")
    land_orders(home, "a.csv", [order(1)], at(1))
    take_in(home)
    before = shop.versions(home)
    take_in(home, "r2")
    assert shop.versions(home) == before
    assert [path.name for path in (home.root / "quality").rglob("*.json")] == ["r1.json"]


def test_a_refused_check_is_recorded_once_however_often_it_is_retried(home: Settings) -> None:
    expect(home)
    land_orders(home, "a.csv", [order(1), order(2, "-1")], at(1))
    for _ in range(3):
        with pytest.raises(QualityRefused):
            take_in(home)
    assert (record(home).verdict, record(home).table_version) == ("refuse", None)
    assert ledger(home) == [(MEAN, 0), (BETWEEN, 1), (NOTED, 2)]
    with pytest.raises(QualityRefused):
        take_in(home, "r2")
    assert len(ledger(home)) == 6, "another run checked again"


def test_a_retry_with_another_suite_is_a_check_of_its_own(home: Settings) -> None:
    expect(home)
    land_orders(home, "a.csv", [order(1), order(2, "-1")], at(1))
    with pytest.raises(QualityRefused):
        take_in(home)
    expect(home, "warning")
    take_in(home)
    verdicts = {row[0] for row in ledger(home, "verdict")}
    assert verdicts == {"refuse", "publish_and_flag"}
    names = sorted(path.name for path in (home.root / "quality").rglob("*.json"))
    assert names[1] == "r1.json"
    assert re.fullmatch(r"r1\.[0-9a-f]{8}\.json", names[0])


def test_files_that_came_between_two_tries_are_checked_and_recorded(home: Settings) -> None:
    expect(home, "warning")
    land_orders(home, "a.csv", [order(1, "-1")], at(1))
    take_in(home)
    land_orders(home, "b.csv", [order(2, "-1"), order(3, "-1")], at(1))
    take_in(home)
    assert sum(count for rule, count in ledger(home) if rule == BETWEEN) == 3


class Killed(BaseException):
    """Ends an ingest where SIGKILL would: nothing of ours catches it."""


@pytest.mark.parametrize(
    ("point", "recorded"),
    [
        ("ingest.after_quality_record", 0),
        ("ingest.between_quarantine_and_silver", 0),
        ("ingest.after_silver", 0),
        ("ingest.before_quality_ledger", 0),
        ("ingest.after_quality_ledger", 3),
    ],
)
def test_killed_anywhere_the_retry_records_the_check_once(
    point: str, recorded: int, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(home, "warning")
    land_orders(home, "a.csv", [order(1), order(2, "-1")], at(1))
    reached = []

    def kill(name: str) -> None:
        if name == point:
            reached.append(name)
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(ingest_stage, "failpoint", kill)
        patched.setattr(quality_records, "failpoint", kill)
        with pytest.raises(Killed):
            take_in(home)
    assert reached == [point]
    there = "ledger.quality" in shop.versions(home)
    assert (len(ledger(home)) if there else 0) == recorded
    take_in(home)
    assert ledger(home, "rule, unexpected_count, table_version") == [
        (MEAN, 0, 1),
        (BETWEEN, 1, 1),
        (NOTED, 2, 1),
    ]
    assert record(home).table_version == 1
    assert marks(home) == []


@pytest.mark.parametrize(
    ("point", "versions"),
    [("ingest.after_quality_record", [("r2", 1)]), ("ingest.after_silver", [("r1", 1)])],
)
def test_what_a_killed_run_left_is_finished_by_another_once_it_is_surely_dead(
    point: str,
    versions: list[tuple[str, int]],
    home: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expect(home, "warning")
    land_orders(home, "a.csv", [order(1), order(2, "-1")], at(1))

    def kill(name: str) -> None:
        if name == point:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(ingest_stage, "failpoint", kill)
        patched.setattr(quality_records, "failpoint", kill)
        with pytest.raises(Killed):
            take_in(home)
    take_in(home, "r2")
    assert [name for name in marks(home) if "r1" in name], "it may be at work"
    (mark,) = (home.root / "quality" / "shop" / quality_records.UNFINISHED).glob("*r1*")
    long_ago = time.time() - quality_records.LEFT_BEHIND_SECONDS - 1
    os.utime(mark, (long_ago, long_ago))
    take_in(home, "r3")
    assert marks(home) == []
    assert sorted(set(ledger(home, "run, table_version"))) == versions


POINTS = ("ingest.after_quality_record", "ingest.before_quality_ledger")


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(POINTS, id="each in turn"),
        *(pytest.param((point,), id=point, marks=pytest.mark.prove) for point in POINTS),
    ],
)
def test_a_process_that_is_killed_loses_no_check(points: tuple[str, ...], home: Settings) -> None:
    kills.deliver(home, 1)
    expect(home, "warning", on_fail="quarantine")
    for number, point in enumerate(points, start=1):
        status, _ = kills.run(home, 1, failpoint=point)
        assert (status, kills.reached(home)) == (-signal.SIGKILL, [*points[:number]])
        assert "ledger.quality" not in shop.versions(home)
    kills.run_whole(home, 1)
    assert Counter(ledger(home, "rule")) == {
        (MEAN,): 1,
        (BETWEEN,): 1,
        (NOTED,): 1,
        ("contract:columns",): 1,
        ("contract:type:amount:double",): 1,
    }
    assert marks(home) == []


def test_two_runs_that_finish_the_same_check_put_it_in_the_ledger_once(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(home)
    land_orders(home, "a.csv", [order(1, "-1")], at(1))

    def kill(name: str) -> None:
        if name == "ingest.before_quality_ledger":
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(quality_records, "failpoint", kill)
        with pytest.raises(Killed):
            take_in(home, "r0")
    (mark,) = (home.root / "quality" / "shop" / quality_records.UNFINISHED).iterdir()
    os.utime(mark, (0, 0))
    others = ["r2"]

    def finish_meanwhile(name: str) -> None:
        if name == "ingest.before_quality_ledger" and others:
            with pytest.raises(QualityRefused):
                take_in(home, others.pop())

    with monkeypatch.context() as patched:
        patched.setattr(quality_records, "failpoint", finish_meanwhile)
        with pytest.raises(QualityRefused):
            take_in(home, "r1")
    assert Counter(ledger(home, "run, rule")) == {
        (run, rule): 1 for run in ("r0", "r1", "r2") for rule in (MEAN, BETWEEN, NOTED)
    }
    assert marks(home) == []


def test_headframe_docs_says_where_the_first_page_is(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(home, "warning")
    land_orders(home, "a.csv", [order(1)], at(1))
    take_in(home)
    home.dags.mkdir()
    declared = "from pipelines.dag_factory import build_dags\nfrom tests.shop import SHOP\nbuild_dags(SHOP)\n"
    (home.dags / "shop.py").write_text(declared, "utf-8")
    monkeypatch.setenv("HEADFRAME_HOME", str(home.home))
    monkeypatch.setenv("HEADFRAME_DAGS", str(home.dags))
    run = CliRunner().invoke
    shown = run(app, ["docs"]).stdout
    assert shown.startswith(
        "1 pages written, 0 removed; 1 checks listed (the last 100 of each table)"
    )
    told = json.loads(run(app, ["docs", "shop", "--json"]).stdout)
    index = home.root / "data_docs" / "index.html"
    assert told == {"written": 0, "removed": 0, "pages": 1, "index": str(index)}
    assert run(app, ["docs", "shpo"]).exit_code == 1


def test_the_query_of_the_docs_names_the_rule_that_failed_most_this_month(home: Settings) -> None:
    expect(home, "warning")
    land_orders(home, "a.csv", [order(1), order(2, "-1"), order(3, "-1"), "x,,,,,"], at(1))
    land_orders(home, "b.csv", [order(4, "1", "n"), order(5, "200", "n")], at(2))
    take_in(home, "r1", datetime.now(UTC))
    (query,) = re.findall(r'headframe sql "(select rule.*?)"\n', DOCS.read_text("utf-8"), re.DOTALL)
    assert ask(home, query.replace('\\"', '"')) == [
        {"rule": BETWEEN, "table": "orders", "failed_rows": 3, "failed_checks": 1},
        {"rule": NOTED, "table": "orders", "failed_rows": 3, "failed_checks": 1},
        {
            "rule": "contract:type:order_id:int64",
            "table": "orders",
            "failed_rows": 1,
            "failed_checks": 1,
        },
    ]


class Links(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.loads += [v for k, v in found.items() if v and k in {"src", "srcset"}]
        if href := found.get("href"):
            (self.loads if tag == "link" else self.leads).append(href)


def some_record(*results: ExpectationResult, **changes: Any) -> QualityRecord:  # noqa: ANN401 - any field
    fields = {
        "use_case": "shop",
        "table": "orders",
        "run": "r1",
        "as_of": at(1),
        "content": "c",
        "suite": "shop.orders",
        "suite_digest": "d" * 64,
        "verdict": "publish",
        "landed": 10,
        "rows": 10,
        "rows_set_aside": 0,
        "results": results,
    }
    return QualityRecord(**{**fields, **changes})


def result_of(kind: str, **changes: Any) -> ExpectationResult:  # noqa: ANN401 - any field
    fields = {
        "rule": f"{kind}:a",
        "expectation_type": kind,
        "columns": ("a",),
        "severity": "warning",
        "on_fail": "none",
        "success": False,
        "rows_evaluated": 8,
        "unexpected_count": 2,
        "observed": "2 of 8 rows failed",
    }
    return ExpectationResult(**{**fields, **changes})


EVALUATED = sorted(kind for kind, (lane, _) in SAMPLES.items() if lane != "refused")


@pytest.mark.parametrize("kind", EVALUATED)
@pytest.mark.parametrize("observed", ["observed -1,234.5", "judged as a whole"])
def test_every_expectation_has_a_page_that_needs_nothing_else(kind: str, observed: str) -> None:
    found = result_of(kind, observed=observed)
    text = page(some_record(found, kwargs={found.rule: SAMPLES[kind][1]}), gx_json="r1.json")
    links = Links(text)
    assert links.loads == ["data:,"]
    assert not links.tags & {"script", "iframe", "img"}
    assert set(links.leads) == {"../../../index.html", "../../index.html", "r1.json"}
    assert "url(" not in text
    assert "@import" not in text


def test_what_a_file_or_a_run_says_is_never_markup() -> None:
    found = result_of("expect_column_mean_to_be_between", observed="<img src=x>")
    hostile = {"contract:column:<script>alert(1)</script>": 1}
    record = some_record(
        found,
        kwargs={found.rule: {"column": "a", "max_value": 1}},
        contract=hostile,
        run="<b>r</b>",
    )
    text = page(record, gx_json="r1.json")
    assert not Links(text).tags & {"script", "img", "b"}
    assert "&lt;script&gt;alert(1)" in text


def test_the_result_is_that_of_gx_on_pandas() -> None:
    import great_expectations as gx

    frame = pd.DataFrame({"a": [1.0, 2, None, 400, -1], "b": ["x", None, None, "y", "z"]})
    between = {"column": "a", "min_value": 0, "max_value": 100}
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = source.add_batch_definition_whole_dataframe("w").get_batch({"dataframe": frame})
    expected = [
        batch.validate(expectation).to_json_dict()["result"]
        for expectation in (
            gx.expectations.ExpectColumnValuesToBeBetween(**between),
            gx.expectations.ExpectColumnValuesToNotBeNull(column="b"),
            gx.expectations.ExpectColumnMeanToBeBetween(column="a", max_value=1),
        )
    ]
    ours = [
        result_of("expect_column_values_to_be_between", rows_evaluated=4, unexpected_count=2),
        result_of("expect_column_values_to_not_be_null", rows_evaluated=5, unexpected_count=2),
        result_of("expect_column_mean_to_be_between", observed="observed 100.5"),
    ]
    kwargs = {ours[0].rule: between, ours[1].rule: {"column": "b"}, ours[2].rule: {"column": "a"}}
    found = as_gx_json(some_record(*ours, rows=5, kwargs=kwargs))
    # GX adds samples of the values; a record holds none.
    samples = (
        "partial_unexpected_list",
        "partial_unexpected_counts",
        "partial_unexpected_index_list",
    )
    assert [
        {key: value for key, value in result["result"].items() if key not in samples}
        for result in found["results"]
    ] == [{key: value for key, value in r.items() if key not in samples} for r in expected]
    assert found["statistics"]["unsuccessful_expectations"] == 3


def test_gx_is_imported_only_when_a_page_is_missing(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.adapters.suites import data_docs

    expect(home, "warning")
    land_orders(home, "a.csv", [order(1)], at(1))
    take_in(home)
    assert quality_docs(home).written == 1

    def unwanted(*_: object, **__: object) -> str:
        raise AssertionError("a page was made again")

    monkeypatch.setattr(data_docs, "page", unwanted)
    assert quality_docs(home, "shop").written == 0


def test_pages_and_lists_lead_to_one_another_and_old_ones_go(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(home, "warning")
    for day in (1, 2, 3, 4):
        land_orders(home, f"{day}.csv", [order(day)], at(day))
        take_in(home, f"scheduled__{at(day).isoformat()}", at(day))
    assert quality_docs(home).written == 4
    monkeypatch.setattr(docs_stage, "KEPT", 3)
    made = quality_docs(home)
    assert (made.written, made.removed, made.pages) == (0, 1, 3)
    docs = home.root / "data_docs"
    pages = sorted(docs.rglob("*.html"))
    assert [path.parent.name for path in pages] == [
        "data_docs",
        "shop",
        "2026-03-02",
        "2026-03-03",
        "2026-03-04",
    ]
    for path in pages:
        links = Links(path.read_text("utf-8"))
        assert links.loads == ["data:,"]
        for link in links.leads:
            assert (path.parent / unquote(link.split("#")[0])).is_file(), link
    assert "The last 3 checks of each table" in (docs / "shop" / "index.html").read_text("utf-8")


def test_the_docs_of_an_empty_home_say_so(home: Settings) -> None:
    made = quality_docs(home)
    assert "No check yet" in made.index.read_text("utf-8")
