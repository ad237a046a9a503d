"""Tables: a commit lands once, loses nothing to races, and never changes a value on the way in."""

import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from pipelines.adapters.delta import (
    delta_commits,
    delta_handles,
    delta_tables,
    delta_transactions,
    remembered,
    typed_batches,
)
from pipelines.adapters.delta.delta_tables import Change, Commit
from pipelines.adapters.stores.object_store import Folder
from pipelines.errors import CommitLost, LakeError
from tests.faults.forked import processes
from tests.goldens import assert_golden

SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int64())])

Rows = list[tuple[str, int]]


def table_of(rows: Rows) -> pa.Table:
    names, counts = [name for name, _ in rows], [count for _, count in rows]
    return pa.table({"name": names, "count": counts}, schema=SCHEMA)


def commit(
    table: Path,
    rows: Rows,
    transaction: str = "t",
    number: int = 1,
    *,
    replace: str | None = None,
) -> Commit:
    return delta_tables.commit_rows(
        table, table_of(rows), transactions={transaction: number}, metadata={}, replace=replace
    )


def content(table: Path, *, where: str | None = None, at_version: int | None = None) -> Rows:
    rows = delta_tables.read(table, where=where, at_version=at_version).to_pylist()
    return sorted((row["name"], row["count"]) for row in rows)


def together(work: Callable[..., None], *arguments: tuple[Any, ...]) -> list[Any]:
    """Run ``work`` once per tuple, each in a process of its own, all let go at the same moment."""
    context = processes()
    barrier, answers = context.Barrier(len(arguments)), context.SimpleQueue()
    running = [context.Process(target=work, args=(barrier, answers, *given)) for given in arguments]
    for process in running:
        process.start()
    for process in running:
        process.join(timeout=120)
        assert process.exitcode == 0
    found = []
    while not answers.empty():
        found.append(answers.get())
    return found


Answers = multiprocessing.SimpleQueue


def test_a_repeated_commit_writes_nothing(tmp_path: Path) -> None:
    table = tmp_path / "silver" / "t"
    assert commit(table, [("a", 1)]) == Commit(1, written=True)
    assert commit(table, [("a", 1)]) == Commit(1, written=False)
    assert commit(table, [("b", 2)], number=2) == Commit(2, written=True)
    assert commit(table, [("a", 1)]) == Commit(2, written=False)
    assert content(table) == [("a", 1), ("b", 2)]
    assert delta_tables.transaction(table, "t") == 2
    assert delta_tables.transaction(table, "other") is None
    assert delta_tables.committed(table, ["t", "other"]) == {"t"}


def test_rows_without_a_transaction_are_written_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        delta_tables.commit_rows(tmp_path / "t", table_of([("a", 1)]), transactions={}, metadata={})
    assert content(tmp_path / "t") == [("a", 1), ("a", 1)]


def test_work_of_which_part_is_done_starts_again(tmp_path: Path) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "one")
    with pytest.raises(CommitLost) as caught:
        delta_tables.commit_rows(
            table, table_of([("b", 2)]), transactions={"one": 1, "two": 1}, metadata={}
        )
    assert caught.value.retryable
    assert content(table) == [("a", 1)]


def test_a_table_that_was_never_written_is_absent_everywhere(tmp_path: Path) -> None:
    table = tmp_path / "silver" / "t"
    assert not delta_tables.exists(table)
    assert delta_tables.version(table) == -1
    assert delta_tables.history(table) == []
    assert delta_tables.transaction(table, "t") is None
    assert delta_tables.committed(table, ["t"]) == set()
    with pytest.raises(LakeError) as caught:
        delta_tables.read(table)
    assert_golden("lake/no_table", str(caught.value))
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_a_kill_left_without_a_commit_is_no_table_and_is_completed(
    tmp_path: Path,
) -> None:
    log = tmp_path / "t" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json#1").write_text("half a commi")
    assert not delta_tables.exists(tmp_path / "t")
    commit(tmp_path / "t", [("a", 1)])
    assert content(tmp_path / "t") == [("a", 1)]


@pytest.mark.parametrize("name", ["with space", "Zoë's ümlaut", "a#1", "a?b=c&d", "a+b"])
def test_a_folder_may_have_any_name_that_delta_rs_can_read(tmp_path: Path, name: str) -> None:
    table = tmp_path / name / "t"
    with delta_tables.stage(table, SCHEMA) as staging:
        staging.write(table_of([("a", 1)]))
        staged = staging.files()
        delta_tables.commit_staged(
            table, staged, table_schema=SCHEMA, transactions={"t": 1}, metadata={}
        )
    assert content(table) == [("a", 1)]
    assert delta_tables.files(table) == [str(staged[0].path)]


@pytest.mark.parametrize("name", ["a%20b", "a*b", "a[b]"])
def test_a_folder_that_delta_rs_misreads_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LakeError, match="expected a path that delta-rs can read"):
        commit(tmp_path / name, [("a", 1)])
    assert list(tmp_path.iterdir()) == []


def commit_once(barrier: Barrier, answers: "Answers[bool]", table: Path, name: str) -> None:
    rows = table_of([(name, 1)])
    barrier.wait()
    made = delta_tables.commit_rows(table, rows, transactions={name: 1}, metadata={})
    answers.put(made.written)


@pytest.mark.parametrize("exists", [True, False])
def test_of_racing_commits_of_the_same_work_exactly_one_is_written(
    tmp_path: Path,
    exists: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    table = tmp_path / "t"
    if exists:
        commit(table, [], "first")
    written = together(commit_once, *[(table, "same")] * 4)
    assert sorted(written) == [False, False, False, True]
    assert content(table) == [("same", 1)]


def test_of_racing_commits_of_different_work_all_are_written(tmp_path: Path) -> None:
    table = tmp_path / "t"
    assert together(commit_once, *[(table, f"{n}") for n in range(4)]) == [True] * 4
    assert content(table) == [(f"{n}", 1) for n in range(4)]


def naively(barrier: Barrier, answers: "Answers[bool]", table: Path, name: str) -> None:
    rows, properties = (
        table_of([(name, 1)]),
        CommitProperties(app_transactions=[Transaction(name, 1)]),
    )
    barrier.wait()
    write_deltalake(str(table), rows, mode="append", commit_properties=properties)
    answers.put(True)  # noqa: FBT003 - a value, not a switch


def test_the_trap_is_real_delta_rs_takes_a_repeated_transaction_from_a_fresh_handle(
    tmp_path: Path,
) -> None:
    table = tmp_path / "t"
    commit(table, [], "first")
    for _ in range(2):
        together(naively, (table, "same"))
    assert content(table) == [("same", 1), ("same", 1)]


def count_up(barrier: Barrier, answers: "Answers[list[int]]", table: Path, name: str) -> None:
    """Append ten rows, each numbered by how many the table held when it was decided."""

    def make(number: int) -> Change:
        taken.append(number)
        held = delta_tables.read(table).num_rows
        assert held >= number
        return Change(rows=table_of([(name, held)]), metadata={})

    barrier.wait()
    for _ in range(10):
        taken: list[int] = []
        delta_tables.commit_next(table, SCHEMA, "sequence", make)
        answers.put(taken)


def test_racing_writers_of_a_sequence_lose_nothing_and_each_decides_on_what_it_follows(
    tmp_path: Path,
) -> None:
    table = tmp_path / "t"
    decided = together(count_up, *[(table, f"{n}") for n in range(3)])
    assert sorted(count for _, count in content(table)) == list(range(30))
    assert delta_tables.transaction(table, "sequence") == 30
    assert sorted(numbers[-1] for numbers in decided) == list(range(30))
    assert any(len(numbers) > 1 for numbers in decided), "no race was lost: the test shows nothing"


def test_a_sequence_that_has_nothing_to_say_writes_nothing(tmp_path: Path) -> None:
    table = tmp_path / "t"
    delta_tables.commit_next(
        table, SCHEMA, "s", lambda _: Change(rows=table_of([("a", 1)]), metadata={})
    )
    assert delta_tables.commit_next(table, SCHEMA, "s", lambda _: None) == Commit(1, written=False)
    assert content(table) == [("a", 1)]


def test_a_writer_that_always_comes_second_gives_up_and_may_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_commits, "MOST_RACES", 3)
    table = tmp_path / "silver" / "t"

    def always_second(number: int) -> Change:
        other = Change(rows=table_of([("other", number)]), metadata={})
        delta_tables.commit_next(table, SCHEMA, "s", lambda _: other)
        return Change(rows=table_of([("mine", number)]), metadata={})

    with pytest.raises(CommitLost) as caught:
        delta_tables.commit_next(table, SCHEMA, "s", always_second)
    assert_golden("lake/always_second", str(caught.value))
    assert content(table) == [("other", 0), ("other", 1), ("other", 2)]


WRONG = {
    "a double for whole numbers": pa.table({"name": ["a"], "count": [1.5]}),
    "a text for whole numbers": pa.table({"name": ["a"], "count": ["7"]}),
    "a smaller whole number": pa.table({"name": ["a"], "count": pa.array([7], pa.int32())}),
    "a larger whole number": pa.table({"name": ["a"], "count": pa.array([2**63], pa.uint64())}),
    "nothing typed": pa.table({"name": ["a"], "count": pa.array([None], pa.null())}),
    "a column too many": pa.table({"name": ["a"], "count": [1], "more": [1]}),
    "a column too few": pa.table({"name": ["a"]}),
    "another order": pa.table({"count": [1], "name": ["a"]}),
    "other letters": pa.table({"Name": ["a"], "count": [1]}),
}


@pytest.mark.parametrize("rows", WRONG.values(), ids=WRONG.keys())
def test_rows_of_another_schema_are_refused_before_anything_is_written(
    tmp_path: Path, rows: pa.Table
) -> None:
    table = tmp_path / "silver" / "t"
    commit(table, [("a", 1)])
    files = sorted(tmp_path.rglob("*"))
    with pytest.raises(LakeError, match="expected rows with columns name string, count int64"):
        delta_tables.commit_rows(table, rows, transactions={"x": 1}, metadata={})
    change = Change(rows=rows, metadata={})
    with pytest.raises(LakeError):
        delta_tables.commit_next(table, SCHEMA, "x", lambda _: change)
    with pytest.raises(LakeError), delta_tables.stage(table, SCHEMA) as staging:
        staging.write(rows)
    assert sorted(tmp_path.rglob("*")) == files
    assert content(table) == [("a", 1)]


def test_the_message_of_the_schema_gate_names_what_differs(tmp_path: Path) -> None:
    table = tmp_path / "silver" / "t"
    commit(table, [("a", 1)])
    wrong = WRONG["a double for whole numbers"]
    with pytest.raises(LakeError) as caught:
        delta_tables.commit_rows(table, wrong, transactions={}, metadata={})
    assert_golden("lake/other_schema", str(caught.value))


def test_the_trap_is_real_delta_rs_stores_a_half_as_nothing(tmp_path: Path) -> None:
    table = tmp_path / "t"
    commit(table, [])
    write_deltalake(
        str(table), pa.table({"name": ["a"], "count": [1.5]}), mode="append", schema_mode="merge"
    )
    assert content(table) == [("a", 1)]


def test_every_type_comes_back_as_it_went_in(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "text": ["", 'Zoë\'s "ü"\n', None],
            "whole": [2**63 - 1, -(2**63), None],
            "real": [0.1, float("inf"), None],
            "flag": [True, False, None],
            "day": [date(1, 1, 1), date(9999, 12, 31), None],
            "moment": pa.array(
                [datetime(2026, 3, 1, 1, 2, 3, 4, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), None],
                pa.timestamp("us", tz="UTC"),
            ),
            "texts": [["a", ""], [], None],
            "price": pa.array([Decimal("1.10"), Decimal("-0.01"), None], pa.decimal128(9, 2)),
        }
    )
    delta_tables.commit_rows(tmp_path / "t", rows, transactions={}, metadata={})
    assert delta_tables.read(tmp_path / "t").equals(rows)
    assert delta_tables.schema(tmp_path / "t").equals(rows.schema)


def test_replacing_touches_exactly_the_rows_of_its_condition(tmp_path: Path) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1), ("b", 2), ("b", 3), ("c", 4)], "one")
    commit(table, [("b", 9)], "two", replace="name = 'b'")
    assert content(table) == [("a", 1), ("b", 9), ("c", 4)]
    commit(table, [], "three", replace="name in ('a', 'z')")
    assert content(table) == [("b", 9), ("c", 4)]
    assert content(table, at_version=1) == [("a", 1), ("b", 2), ("b", 3), ("c", 4)]


def test_a_new_row_outside_the_condition_refuses_the_whole_commit(tmp_path: Path) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1), ("b", 2)], "one")
    with pytest.raises(Exception, match=r"(?i)invalid data|constraint|condition"):
        commit(table, [("b", 9), ("c", 9)], "two", replace="name = 'b'")
    assert content(table) == [("a", 1), ("b", 2)]
    assert delta_tables.committed(table, ["two"]) == set()


@pytest.mark.parametrize("name", ["x' OR '1'='1", "it's", "''", "'; --", 'say "b"', "\\", "%", "é"])
def test_a_quoted_value_is_a_value_and_never_a_condition(tmp_path: Path, name: str) -> None:
    table = tmp_path / "t"
    commit(table, [(name, 1), ("b", 2)], "one")
    where = f"name = {delta_tables.quoted(name)}"
    assert content(table, where=where) == [(name, 1)]
    commit(table, [(name, 9)], "two", replace=where)
    assert content(table) == sorted([(name, 9), ("b", 2)])


def test_staged_files_are_invisible_until_committed_and_removed_when_not(tmp_path: Path) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "one")
    before = sorted(table.rglob("*"))
    with delta_tables.stage(table, SCHEMA) as staging:
        staging.write(table_of([("b", 2)]))
        assert staging.files()[0].path.is_file()
        assert content(table) == [("a", 1)]
    assert sorted(table.rglob("*")) == before
    with pytest.raises(LakeError):
        stage_and_read_the_absent(table)
    assert sorted(table.rglob("*")) == before
    with delta_tables.stage(table, SCHEMA) as staging:
        staging.write(table_of([("x", 0)]))
        (dropped,) = staging.files()
        staging.write(table_of([("b", 2)]))
        kept = staging.files()[1]
        made = delta_tables.commit_staged(
            table, [kept], table_schema=SCHEMA, transactions={"two": 1}, metadata={}
        )
    assert (made.written, content(table)) == (True, [("a", 1), ("b", 2)])
    assert (dropped.path.exists(), kept.path.exists()) == (False, True)


def stage_and_read_the_absent(table: Path) -> None:
    with delta_tables.stage(table, SCHEMA) as staging:
        staging.write(table_of([("b", 2)]))
        assert staging.files()[0].path.is_file()
        delta_tables.read(table / "absent")


def test_staged_files_of_repeated_work_are_removed(tmp_path: Path) -> None:
    table = tmp_path / "t"
    for written in (True, False):
        with delta_tables.stage(table, SCHEMA) as staging:
            staging.write(table_of([("a", 1)]))
            made = delta_tables.commit_staged(
                table,
                staging.files(),
                table_schema=SCHEMA,
                transactions={"t": 1},
                metadata={},
            )
        assert made.written is written
    assert content(table) == [("a", 1)]
    assert len(list(table.glob("*.parquet"))) == 1


def test_a_commit_without_rows_keeps_its_transactions_and_metadata(tmp_path: Path) -> None:
    table = tmp_path / "t"
    with delta_tables.stage(table, SCHEMA) as staging:
        staging.write(table_of([]))
        delta_tables.commit_staged(
            table,
            staging.files(),
            table_schema=SCHEMA,
            transactions={"t": 1},
            metadata={"law": {"landed": 0}, "run": "r"},
        )
    assert (content(table), delta_tables.files(table)) == ([], [])
    assert delta_tables.transaction(table, "t") == 1
    newest = delta_tables.history(table, 1)[0]
    assert (newest["headframe.law"], newest["headframe.run"]) == ('{"landed": 0}', "r")


def test_staged_rows_are_found_by_the_moment_they_were_known(tmp_path: Path) -> None:
    table, schema = tmp_path / "t", pa.schema([("known_at", pa.timestamp("us", tz="UTC"))])
    moments = [datetime(2026, 3, 1, 0, 0, 0, n, tzinfo=UTC) for n in (0, 123456, 999999)]
    for number, moment in enumerate(moments):
        with delta_tables.stage(table, schema) as staging:
            staging.write(pa.table({"known_at": [moment]}, schema=schema))
            delta_tables.commit_staged(
                table,
                staging.files(),
                table_schema=schema,
                transactions={f"{number}": 1},
                metadata={},
            )
    for moment in moments:
        found = delta_tables.read(table, where=f"known_at = timestamp '{moment.isoformat()}'")
        assert found["known_at"].to_pylist() == [moment]


def test_a_table_is_read_at_a_version_by_column_and_by_condition(tmp_path: Path) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "one")
    commit(table, [("b", 2)], "two")
    assert content(table, at_version=0) == []
    assert content(table, at_version=1) == [("a", 1)]
    found = delta_tables.read(table, columns=["count"], where="name = 'b'")
    assert found.to_pydict() == {"count": [2]}
    assert delta_tables.version(table) == 2
    with pytest.raises(LakeError, match="expected version 9; found") as caught:
        delta_tables.read(table, at_version=9)
    assert str(caught.value).endswith("that the table still has, or restore the folder.")


@pytest.mark.parametrize("found", [{"headframe.format": "3"}, {}])
def test_a_table_of_another_format_is_refused_by_readers_and_writers(
    tmp_path: Path, found: dict[str, str | None]
) -> None:
    table = tmp_path / "silver" / "t"
    DeltaTable.create(str(table), SCHEMA, configuration=found, raise_if_key_not_exists=False)
    for use in (lambda: delta_tables.read(table), lambda: commit(table, [("a", 1)])):
        with pytest.raises(LakeError, match="expected Headframe table format 1"):
            use()
    assert DeltaTable(str(table)).version() == 0


def test_a_log_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    table = tmp_path / "silver" / "t"
    commit(table, [("a", 1)])
    log = table / "_delta_log" / f"{1:020}.json"
    log.write_text(log.read_text()[:-40])
    with pytest.raises(LakeError, match="expected a log that can be read"):
        delta_tables.read(table)


def test_tables_keep_the_protocol_that_every_reader_knows(tmp_path: Path) -> None:
    commit(tmp_path / "t", [("a", 1)])
    protocol = DeltaTable(str(tmp_path / "t")).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def staged(table: Path, rows: pa.Table, commit: Callable[..., Commit], **more: object) -> Commit:
    with delta_tables.stage(table, rows.schema) as staging:
        staging.write(rows)
        return commit(table, staging.files(), table_schema=rows.schema, metadata={}, **more)


WIDER = pa.table({"name": ["z"], "count": pa.array(["nine"]), "more": [True]})


def test_a_rebuild_puts_other_rows_and_columns_in_the_place_of_all_in_one_commit(
    tmp_path: Path,
) -> None:
    table = tmp_path / "t"
    for number in (1, 2, 3):
        commit(table, [("a", number)], number=number)
    rebuild = {"made_from": 3, "transactions": {"t": 4}}
    made = staged(table, WIDER, delta_tables.replace_all_staged, **rebuild)
    assert made == Commit(4, written=True)
    assert delta_tables.read(table).equals(WIDER)
    assert delta_tables.schema(table).equals(WIDER.schema)
    assert content(table, at_version=3) == [("a", 1), ("a", 2), ("a", 3)]
    again = staged(table, WIDER, delta_tables.replace_all_staged, **rebuild)
    assert again == Commit(4, written=False)
    assert len(delta_tables.files(table)) == 1
    with pytest.raises(LakeError, match="rows that differ in count, more"):
        commit(table, [("a", 5)], number=5)


def test_a_rebuild_from_an_older_version_is_refused_for_it_would_undo_a_commit(
    tmp_path: Path,
) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "one")
    commit(table, [("b", 2)], "two")
    with pytest.raises(CommitLost, match="found version 2 after 1"):
        staged(
            table,
            table_of([("a", 1)]),
            delta_tables.replace_all_staged,
            made_from=1,
            transactions={"rebuild": 1},
        )
    assert content(table) == [("a", 1), ("b", 2)]
    assert len(list(table.glob("*.parquet"))) == 2


def test_a_rebuild_that_loses_the_race_for_its_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "one")
    write = DeltaTable.create_write_transaction

    def second(handle: DeltaTable, *given: object, **more: object) -> None:
        monkeypatch.setattr(DeltaTable, "create_write_transaction", write)
        commit(table, [("b", 2)], "two")
        write(handle, *given, **more)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", second)
    with pytest.raises(CommitLost, match="found version 2 after 1"):
        staged(
            table, WIDER, delta_tables.replace_all_staged, made_from=1, transactions={"rebuild": 1}
        )
    assert content(table) == [("a", 1), ("b", 2)]


def test_the_trap_is_real_delta_rs_lets_an_overwrite_pass_over_an_append_that_it_never_saw(
    tmp_path: Path,
) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "one")
    stale = DeltaTable(str(table))
    commit(table, [("b", 2)], "two")
    write_deltalake(stale, table_of([("z", 9)]), mode="overwrite")
    assert content(table) == [("b", 2), ("z", 9)]


def test_batches_come_one_at_a_time_in_the_tables_own_types(tmp_path: Path) -> None:
    table = tmp_path / "t"
    for number in range(3):
        commit(table, [("a", number), ("b", number)], f"{number}")
    reader = delta_tables.read_batches(table, columns=["count"], where="name = 'b'")
    assert reader.schema.equals(pa.schema([("count", pa.int64())]))
    assert sorted(n for batch in reader for n in batch["count"].to_pylist()) == [0, 1, 2]
    assert delta_tables.read_batches(table, at_version=1).read_all().num_rows == 2
    with pytest.raises(LakeError, match="expected a Delta table; found none yet"):
        delta_tables.read_batches(tmp_path / "absent")


def test_many_small_files_are_read_whole_whatever_is_gathered_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        commit(tmp_path / "t", [(f"a{number}", number), (f"b{number}", number)], f"t{number}")
    expected = sorted((f"{name}{number}", number) for name in "ab" for number in range(5))
    for rows_at_once in (1, 4, 1000):
        monkeypatch.setattr(typed_batches, "ROWS_AT_ONCE", rows_at_once)
        assert content(tmp_path / "t") == expected
        assert content(tmp_path / "t", where="count > 2") == expected[3:5] + expected[8:]
        assert content(tmp_path / "t", where="count > 9") == []


def test_a_kept_table_is_opened_once_and_shows_each_commit_at_the_next_look(
    tmp_path: Path,
) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "first")
    with delta_handles.kept():
        handle = delta_handles.opened(table)
        assert delta_handles.opened_if_exists(tmp_path / "none") is None
        write_deltalake(str(table), table_of([("b", 2)]), mode="append")  # by somebody else
        assert int(handle.version()) == 1
        assert content(table) == [("a", 1), ("b", 2)]
        assert delta_handles.opened(table) is handle
        assert int(handle.version()) == 2
        assert delta_handles.opened(table, 2) is handle
        assert delta_handles.opened(table, 1) is not handle
        assert commit(table, [("c", 3)], "third").written
        assert not commit(table, [("c", 3)], "third").written
        assert content(table) == [("a", 1), ("b", 2), ("c", 3)]
        assert content(table, at_version=1) == [("a", 1)]
        assert delta_tables.committed(table, ["first", "third", "x"]) == {"first", "third"}
    assert delta_handles.opened(table) is not handle


def test_what_was_read_of_a_kept_table_is_remembered_until_its_next_version(tmp_path: Path) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "first")
    assert delta_tables.read(table) is not delta_tables.read(table)
    with delta_handles.kept():
        found = delta_tables.read(table)
        assert delta_tables.read(table) is found
        assert delta_tables.read(table, columns=["name"]).column_names == ["name"]
        assert delta_tables.read(table, where="count > 1").num_rows == 0
        assert delta_tables.read(table, at_version=0).num_rows == 0
        write_deltalake(str(table), table_of([("b", 2)]), mode="append")  # by somebody else
        assert delta_tables.read(table, where="count > 1").num_rows == 1
        assert delta_tables.read(table) is not found
        assert content(table) == [("a", 1), ("b", 2)]


def test_a_table_that_is_not_kept_is_opened_once_for_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "first")
    opened: list[object] = []
    really = delta_handles._opened

    def counted(folder: Folder, at_version: int | None) -> DeltaTable | None:
        opened.append(folder)
        return really(folder, at_version)

    monkeypatch.setattr(delta_handles, "_opened", counted)
    assert content(table) == [("a", 1)]
    assert len(opened) == 1
    with delta_handles.kept():
        assert content(table) == content(table) == [("a", 1)]
    assert len(opened) == 2


def test_transactions_of_a_kept_table_are_found_where_entries_were_removed(tmp_path: Path) -> None:
    """As by maintenance: a checkpoint holds what they said."""
    table = tmp_path / "t"
    commit(table, [("a", 1)], "first")
    with delta_handles.kept():
        assert delta_tables.committed(table, ["first", "later:4"]) == {"first"}
        for number in range(5):
            transactions = {f"later:{number}": 1}
            rows = table_of([("b", number)])
            delta_tables.commit_rows(table, rows, transactions=transactions, metadata={})
        DeltaTable(str(table)).create_checkpoint()
        for number in range(2, 6):
            (table / "_delta_log" / f"{number:020}.json").unlink()
        names = [f"later:{number}" for number in range(5)]
        assert delta_tables.committed(table, names) == set(names)


def test_a_table_that_somebody_else_creates_is_found_by_who_keeps_tables(tmp_path: Path) -> None:
    table = tmp_path / "t"
    with delta_handles.kept():
        assert not delta_tables.exists(table)
        assert delta_tables.version(table) == -1
        with ThreadPoolExecutor() as pool:  # which keeps no table
            pool.submit(commit, table, [("a", 1)], "first").result()
        assert delta_tables.exists(table)
        assert content(table) == [("a", 1)]


def test_large_tables_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "t"
    commit(table, [("a", 1)], "first")
    monkeypatch.setattr(remembered, "MOST_BYTES", 8)
    with delta_handles.kept():
        assert delta_tables.read(table) is not delta_tables.read(table)


def test_a_kept_table_goes_on_past_its_checkpoints(tmp_path: Path) -> None:
    table, commits = tmp_path / "t", 2 * delta_commits.CHECKPOINT_EVERY + 3
    with delta_handles.kept():
        for number in range(1, commits + 1):
            told = {"sequence": number, f"file:{number}": 1}
            for written in (True, False):
                done = delta_tables.commit_rows(
                    table, table_of([("a", number)]), transactions=told, metadata={}
                )
                assert done.written is written
            assert delta_tables.transaction(table, "sequence") == number
            assert len(delta_tables.transactions_of(table, "file:")) == number
        assert len(content(table)) == commits
    assert DeltaTable(str(table)).version() == commits
    assert delta_tables.transaction(table, "sequence") == commits


@pytest.mark.parametrize("commits", [3, 60])
def test_all_transactions_at_once_are_those_that_delta_rs_finds_one_by_one(
    tmp_path: Path, commits: int
) -> None:
    table = tmp_path / "t"
    for number in range(1, commits + 1):
        transactions = {f"file:{number}": 1, "sequence": number}
        delta_tables.commit_rows(
            table, table_of([("a", number)]), transactions=transactions, metadata={}
        )
    names = [f"file:{number}" for number in range(commits + 20)] + ["sequence", "txn"]
    handle = DeltaTable(str(table))
    by_one = {name: handle.transaction_version(name) for name in names}
    at_once = delta_transactions.versions(table, handle, names)
    assert at_once == {name: found for name, found in by_one.items() if found is not None}
    assert at_once["sequence"] == commits
    checkpoints = sorted(path.name for path in table.glob("_delta_log/*.checkpoint.parquet"))
    assert checkpoints == [f"{number:020}.checkpoint.parquet" for number in range(25, commits, 25)]
    earlier = DeltaTable(str(table), version=2)
    assert delta_transactions.versions(table, earlier, names) == {
        "file:1": 1, "file:2": 1, "sequence": 2,
    }  # fmt: skip


def test_log_entries_are_kept_for_good_and_transactions_too(tmp_path: Path) -> None:
    commit(tmp_path / "t", [("a", 1)])
    assert DeltaTable(str(tmp_path / "t")).metadata().configuration == {
        "headframe.format": "1",
        "delta.enableExpiredLogCleanup": "false",
    }


def after_many_commits(table: Path, count: int) -> list[str]:
    """Make a table as many commits leave it: a file and a transaction of each, in a checkpoint."""
    commit(table, [("a", 1)])
    names = [f"ingest:{number:064x}" for number in range(count)]
    actions = [{"commitInfo": {"timestamp": 0, "operation": "WRITE"}}] + [
        action
        for number, name in enumerate(names)
        for action in (
            {
                "add": {
                    "path": f"part-{number}.parquet",
                    "partitionValues": {},
                    "size": 1000,
                    "modificationTime": 0,
                    "dataChange": True,
                    "stats": '{"numRecords": 1}',
                }
            },
            {"txn": {"appId": name, "version": 1}},
        )
    ]
    lines = "\n".join(json.dumps(action) for action in actions)
    (table / "_delta_log" / f"{2:020}.json").write_text(lines)
    DeltaTable(str(table)).create_checkpoint()
    return names


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the least CPU time of three runs: what the machine's other work did not disturb."""
    found = []
    for _ in range(3):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def test_after_ten_thousand_commits_the_bookkeeping_of_a_run_costs_less_than_its_budget(
    tmp_path: Path,
) -> None:
    table, numbers = tmp_path / "t", iter(range(1_000))
    names = after_many_commits(table, 10_000)

    def run() -> None:
        assert delta_tables.transaction(table, "t") == 1
        assert len(delta_tables.committed(table, [*names, "another"])) == 10_000
        start = next(numbers)
        new = {f"new:{start}:{number}": 1 for number in range(20)}
        assert staged(
            table, table_of([("b", 2)]), delta_tables.commit_staged, transactions=new
        ).written
        assert delta_tables.version(table) > 2

    assert cpu_seconds(run) < 0.3
    handle = DeltaTable(str(table))
    one_by_one = cpu_seconds(lambda: [handle.transaction_version(name) for name in names[:500]])
    at_once = cpu_seconds(lambda: delta_transactions.versions(table, handle, names))
    assert at_once < one_by_one, "there is no need to read the log ourselves any more"
