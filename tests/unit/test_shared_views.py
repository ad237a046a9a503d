"""Shared views: one declaration, several use cases, each as of the same time and fully identified."""

import dataclasses
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.adapters.models import code_archive
from pipelines.adapters.models.view_columns import view_columns
from pipelines.adapters.settings import Settings
from pipelines.domain.catalogue import DeclaredView, catalogue, views_of
from pipelines.domain.contract import silver_schema
from pipelines.domain.features import KnownTables, compute_features, feature_digest, features
from pipelines.domain.look_ahead import LookedAhead, look_ahead
from pipelines.domain.provenance import reading_parts
from pipelines.errors import DeclarationError
from pipelines.use_case import TrainedUseCase, UseCase, load, load_all
from tests import shops
from tests.goldens import assert_golden
from tests.returned_orders import label, orders, returns

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

VISITS = [("pen", 1, 9, -1), ("pen", 2, 80, -1), ("ink", 1, 5, -1), ("ink", 2, 7, 1)]
"""Item, visit, seconds, and the hour from noon at which it became known."""


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    shops.declare(tmp_path / "dags")
    return tmp_path / "dags"


LEAKS = [
    ("join visits v", "join visits__versions v"),
    ('{counted("v.visit")}', "(select count(*) from orders__versions)"),
    ('{counted("v.visit")}', "(select sum(value::int)::bigint from labels__history)"),
]


def known_tables(use_case: UseCase, visits: list[tuple[str, int, int, int]]) -> KnownTables:
    parts = TrainedUseCase.of(use_case)
    stamped = {
        "orders": [
            {"item": item, "sold_at": NOON + HOUR, "price": price, "known_at": NOON - HOUR}
            for item, price in (("pen", 2), ("ink", 3), ("cap", 5))
        ],
        "visits": [
            {"item": item, "visit": number, "seconds": seconds, "known_at": NOON + hour * HOUR}
            for item, number, seconds, hour in visits
        ],
        "returns": [],
    }
    versions = {
        table.name: pa.Table.from_pylist(
            [
                {**row, "_file": "f", "_row": number, "_sha256": "0" * 64}
                for number, row in enumerate(stamped[table.name])
            ],
            schema=silver_schema(table),
        )
        for table in parts.features.tables
    }
    tables = KnownTables(versions, parts.features.tables, parts.label)
    tables.prepare_labels(parts.features.entity)
    return tables


def described(
    use_case: UseCase, visits: list[tuple[str, int, int, int]] = VISITS
) -> list[tuple[object, ...]]:
    view = TrainedUseCase.of(use_case).features
    tables = known_tables(use_case, visits)
    rows = compute_features(tables, view, as_of=NOON, until=NOON + 24 * HOUR)
    return [tuple(row.values())[0:1] + tuple(row.values())[3:] for row in rows.to_pylist()]


def test_two_use_cases_join_one_shared_view_each_in_its_own_way(dags: Path) -> None:
    books, shoes = load(dags / "books.py"), load(dags / "shoes.py")
    assert described(books) == [
        ("cap", 5, 0, None, 0),
        ("ink", 3, 1, True, 0),
        ("pen", 2, 1, True, 0),
    ]
    assert described(shoes) == [
        ("cap", 5, 0, None, 0),
        ("ink", 3, 1, False, 0),
        ("pen", 2, 1, True, 0),
    ]


@pytest.mark.parametrize("name", shops.NAMES)
def test_a_shared_view_sees_nothing_that_became_known_later(name: str, dags: Path) -> None:
    use_case = load(dags / f"{name}.py")
    later = [(item, number + 5, 1, 2) for item, number, _, _ in VISITS]
    assert described(use_case, [*VISITS, *later]) == described(use_case, VISITS[:3])


@pytest.mark.parametrize("name", shops.NAMES)
def test_a_leak_planted_in_the_shared_view_is_seen_in_each_use_case(name: str, dags: Path) -> None:
    shops.declare(dags, shops.SHARED.replace("join visits v", "join visits__versions v"))
    use_case = load(dags / f"{name}.py")
    assert described(use_case, VISITS) != described(use_case, VISITS[:3])


def test_a_block_described_again_asks_the_shared_view_again(dags: Path) -> None:
    use_case = load(dags / "books.py")
    view = TrainedUseCase.of(use_case).features
    tables = known_tables(use_case, VISITS)
    found = [
        compute_features(tables, view, as_of=moment, since=NOON, until=NOON + 24 * HOUR)["visits"]
        for moment in (NOON, NOON + HOUR, NOON)
    ]
    assert [counts.to_pylist() for counts in found] == [[0, 1, 1], [0, 2, 1], [0, 1, 1]]


def test_a_shared_view_that_doubles_an_entity_is_named(dags: Path) -> None:
    shops.declare(dags, shops.SHARED.replace("group by a.item", "group by a.item, v.visit"))
    with pytest.raises(DeclarationError, match="feature function interest"):
        described(load(dags / "books.py"))


def test_tables_read_through_a_view_have_no_parts_that_the_query_shows(dags: Path) -> None:
    use_case = load(dags / "books.py")
    view = TrainedUseCase.of(use_case).features
    view = dataclasses.replace(view, reads=[*view.reads, use_case.table("visits")])
    tables = known_tables(use_case, VISITS)
    compute_features(tables, view, as_of=NOON, until=NOON + 24 * HOUR)
    assert reading_parts(tables, view) == {}


def digest(dags: Path, shared: str = shops.SHARED, name: str = "books") -> str:
    shops.declare(dags, shared)
    parts = TrainedUseCase.of(load(dags / f"{name}.py"))
    return feature_digest(parts.features, parts.label)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sum(v.seconds)", "max(v.seconds)"),  # the view's own text
        ("count({name})", "1 + count({name})"),  # a function that it calls
        ("SECONDS = 60", "SECONDS = 61"),  # a value that such a function reads
        ('Column("seconds", "int64")', 'Column("seconds", "int64", nullable=True)'),
    ],
    ids=["text", "function", "value", "contract"],
)
def test_an_edit_of_what_is_shared_makes_other_features(old: str, new: str, dags: Path) -> None:
    before = [digest(dags, name=name) for name in shops.NAMES]
    shared = shops.SHARED.replace(old, new)
    assert shared != shops.SHARED
    for name, was in zip(shops.NAMES, before, strict=True):
        assert digest(dags, shared, name) != was


def test_an_edit_of_something_else_in_the_shared_file_makes_the_same_features(dags: Path) -> None:
    before = digest(dags)
    assert digest(dags, shops.SHARED.replace("HOURS = 24", "HOURS = 25")) == before
    assert digest(dags, shops.SHARED.replace("dearer", "price")) == before
    assert digest(dags, shops.SHARED.replace('"""Orders,', '"""All orders,')) == before


PLAIN = """
def both():
    return f"{counted('price')} + {LEAST}"


@features(entity=orders, reads=[returns])
def books_features(known):
    return known.sql(f"select item, {both()} as n from asked, (select 1 as seconds) group by item")


"""


def test_a_plain_function_or_value_that_is_imported_counts_by_what_it_is(dags: Path) -> None:
    path = dags / "books.py"
    text = path.read_text()
    start, end = text.index("@features"), text.index("def tree")
    text = (text[:start] + PLAIN + text[end:]).replace(
        "import interest,", "import SECONDS as LEAST, counted,"
    )
    found = set()
    for shared in (
        shops.SHARED,
        shops.SHARED.replace("SECONDS = 60", "SECONDS = 61"),
        shops.SHARED.replace("count({name})", "2 * count({name})"),
    ):
        shops.declare(dags, shared)
        path.write_text(text)
        parts = TrainedUseCase.of(load(path))
        found.add(feature_digest(parts.features, parts.label))
    assert len(found) == 3


@features(entity=orders, reads=[returns])
def alone(known: KnownTables) -> "object":
    return known.sql("select item, price from asked")


def test_a_view_that_uses_nothing_shared_keeps_the_digest_it_always_had() -> None:
    assert (
        feature_digest(alone, label)
        == "2783240cf57d9c7cdf81118a04fa499946060cba12699fb1e8de750f8f3f1c4d"
    )


def test_digest_and_declaration_are_the_same_wherever_the_folder_lies(
    dags: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, dags=dags, expectations=tmp_path / "none")
    (dags / "shared" / "others.py").write_text("RATE = 1\n")
    code_archive.archive(settings, "books", tmp_path / "archive")
    held = code_archive.contents((tmp_path / "archive").read_bytes())
    assert [name for name in held if name.startswith("dags/")] == [
        "dags/books.py",
        "dags/shared/orders.py",
    ]
    code_archive.unpack(held, tmp_path / "elsewhere")
    before, again = load(dags / "books.py"), load(tmp_path / "elsewhere" / "dags" / "books.py")
    assert before.digest() == again.digest()
    assert feature_digest(before.features, None) == feature_digest(again.features, None)  # type: ignore[arg-type]
    assert described(again) == described(before)


def test_the_code_of_a_use_case_changes_with_the_shared_files_it_imports_and_no_others(
    dags: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, dags=dags, expectations=tmp_path / "none")
    shared = dags / "shared"
    (shared / "orders.py").write_text(f"from shared.rates import RATE\n{shops.SHARED}")
    (shared / "rates.py").write_text("RATE = 1\n")
    (shared / "others.py").write_text("RATE = 1\n")
    before = code_archive.code_digest(settings, "books")
    (shared / "others.py").write_text("RATE = 2\n")
    assert code_archive.code_digest(settings, "books") == before
    (shared / "rates.py").write_text("RATE = 2\n")
    assert code_archive.code_digest(settings, "books") != before


def test_what_is_shared_is_no_use_case_and_an_edit_of_it_is_read_at_once(
    dags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    os.utime(dags / "shared" / "orders.py", (1, 1))
    sound, broken = load_all(dags)
    assert (list(sound), broken) == (list(shops.NAMES), [])
    before = described(sound["books"])
    # As many bytes, within the same second.
    shops.declare(dags, shops.SHARED.replace("SECONDS = 60", "SECONDS = 90"))
    os.utime(dags / "shared" / "orders.py", (1, 1))
    assert described(load(dags / "books.py")) != before


def test_each_folder_has_its_own_shared_files(dags: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shops.declare(other, shops.SHARED.replace("SECONDS = 60", "SECONDS = 6"))
    load(dags / "books.py")
    assert described(load(other / "books.py"))[1][2] == 1
    assert described(load(dags / "books.py"))[2][2] == 1
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "books.py").write_text((dags / "books.py").read_text())
    with pytest.raises(DeclarationError, match="No module named 'shared'"):
        load(tmp_path / "none" / "books.py")
    assert "shared.orders" not in sys.modules


IMPORTS = {
    "star": ("from shared.orders import interest, orders, visits", "from shared.orders import *"),
    "module": ("from shared.orders import", "import shared.orders\nfrom shared.orders import"),
    "package": (
        "from shared.orders import",
        "from shared import orders as o\nfrom shared.orders import",
    ),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_an_import_that_does_not_name_what_it_takes_is_refused(name: str, dags: Path) -> None:
    path = dags / "books.py"
    path.write_text(path.read_text().replace(*IMPORTS[name]))
    with pytest.raises(DeclarationError) as caught:
        load(path)
    assert_golden(f"declarations/shared_import_{name}", str(caught.value))


def test_an_import_inside_a_feature_function_is_refused(dags: Path) -> None:
    path = dags / "books.py"
    inside = "(known):\n    from shared.orders import SECONDS\n\n    SECONDS\n"
    path.write_text(path.read_text().replace("(known):\n", inside, 1))
    parts = TrainedUseCase.of(load(path))
    with pytest.raises(DeclarationError, match=r"function books_features: expected shared code"):
        feature_digest(parts.features, parts.label)


def test_a_view_of_other_contracts_entities_or_names_is_a_problem_of_the_declaration(
    dags: Path,
) -> None:
    books = load(dags / "books.py")
    view = TrainedUseCase.of(books).features
    (interest,) = view.uses
    visits = next(table for table in view.tables if table.name == "visits")
    cut = dataclasses.replace(visits, columns=visits.columns[:-1], key=("item",))
    tables = [cut if table.name == "visits" else table for table in books.tables]

    @features(entity=books.table("returns"))
    def asked(known: KnownTables) -> "object":
        return known.sql("select 1")

    @features(entity=view.entity)
    def interest_too(known: KnownTables) -> "object":
        return known.sql("select 1")

    interest_too.function.__name__ = "interest"
    wrong = dataclasses.replace(view, uses=(interest, asked, interest_too))
    found = dataclasses.replace(books, tables=tables, features=wrong).problems()
    assert_golden("declarations/shared_views", "\n".join(str(problem) for problem in found))


def test_the_catalogue_tells_each_view_once_with_who_uses_which_feature(dags: Path) -> None:
    declared = []
    for use_case in load_all(dags)[0].values():
        parts = TrainedUseCase.of(use_case)
        views = views_of(use_case.name, parts.features)
        columns = view_columns({view.name: view for view, _ in views}, parts.label)
        declared += [
            DeclaredView(use_case=use_case.name, view=view, columns=columns[view.name], through=by)
            for view, by in views
        ]
    found = {view.name: view for view in catalogue(declared)}
    assert list(found) == ["books_features", "interest", "shoes_features"]
    interest = found["interest"]
    assert (interest.file, interest.entity, interest.reads) == (
        "shared/orders.py",
        "orders",
        ("visits",),
    )
    assert interest.columns == {"visits": "int64", "seconds": "int64"}
    assert interest.used_by == ("books", "shoes")
    assert interest.taken == {"visits": ("books", "shoes"), "seconds": ()}
    assert found["books_features"].uses == ("interest",)
    assert found["books_features"].file == "books.py"


@pytest.mark.parametrize("name", shops.NAMES)
def test_a_view_that_looks_at_nothing_later_passes_without_any_data(name: str, dags: Path) -> None:
    parts = TrainedUseCase.of(load(dags / f"{name}.py"))
    assert look_ahead(parts.features, parts.label) == LookedAhead(draws=3)


@pytest.mark.parametrize(
    ("leak", "name"),
    [(LEAKS[0], "books"), (LEAKS[0], "shoes"), (LEAKS[1], "books"), (LEAKS[2], "shoes")],
)
def test_a_leak_in_a_shared_view_is_found_in_each_use_case_without_any_data(
    leak: tuple[str, str], name: str, dags: Path
) -> None:
    shared = shops.SHARED.replace(*leak)
    assert shared != shops.SHARED
    shops.declare(dags, shared)
    parts = TrainedUseCase.of(load(dags / f"{name}.py"))
    found = look_ahead(parts.features, parts.label).problem
    assert found is not None
    assert found.where == f"feature function {name}_features, or interest that it uses"


def test_a_query_that_no_made_up_row_fits_is_not_tested_rather_than_sound(dags: Path) -> None:
    shops.declare(dags, shops.SHARED.replace("count({name})", "max(a.item::bigint)"))
    parts = TrainedUseCase.of(load(dags / "books.py"))
    told = "a conversion error of column item in DuckDB, on at least one row"
    assert look_ahead(parts.features, parts.label) == LookedAhead(draws=0, untested=told)


def test_every_view_of_this_repository_is_tested_on_made_up_rows() -> None:
    sound, broken = load_all(Path("dags"))
    assert sound
    assert not broken
    for use_case in sound.values():
        parts = TrainedUseCase.of(use_case)
        assert look_ahead(parts.features, parts.label) == LookedAhead(draws=3), use_case.name
