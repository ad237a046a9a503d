"""Sample keys: what two files write differently is one key, or a problem; never a stack."""

from pathlib import Path

import pytest

from pipelines.adapters.samples import kept_samples
from pipelines.adapters.samples.sample_files import read
from pipelines.domain.draft_file import dag_file
from pipelines.domain.drafting import Wishes, draft
from pipelines.domain.sample_keys import agreed
from pipelines.domain.sample_table import SampleTable
from pipelines.domain.use_case_draft import Draft
from pipelines.errors import SettingsError


def sample(folder: Path, name: str, *lines: str) -> SampleTable:
    path = folder / f"{name}.csv"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return read(path, "")


def orders(folder: Path, *ids: str) -> SampleTable:
    rows = (f"{number},2026-01-{day:02}T08:00:00Z,5" for day, number in enumerate(ids, start=1))
    return sample(folder, "orders", "order_id,due_at,depot", *rows)


def results(folder: Path, *ids: str) -> SampleTable:
    rows = (f"{number},2026-01-{day:02}T20:00:00Z,true" for day, number in enumerate(ids, start=1))
    return sample(folder, "results", "order_id,noted_at,late", *rows)


def drafted(entities: SampleTable, outcomes: SampleTable | None, *others: SampleTable) -> Draft:
    wishes = Wishes(name="late_orders", owner="post", label="late" if outcomes else "")
    return draft(wishes, entities, outcomes, others)


@pytest.mark.parametrize(
    ("entities", "outcomes"),
    [(("01501", "1502", "1503"), ("1501", "1502", "1503")), (("1", "2"), ("1", "B2"))],
)
def test_numbers_that_the_other_file_has_among_texts_are_texts(
    tmp_path: Path, entities: tuple[str, ...], outcomes: tuple[str, ...]
) -> None:
    found = drafted(orders(tmp_path, *entities), results(tmp_path, *outcomes))
    assert [table.sample.column("order_id").type for table in found.tables] == ["string", "string"]
    assert dag_file(found).count('Column("order_id", "string"),') == 2
    numbers, texts = ("results", "orders") if entities[0] == "01501" else ("orders", "results")
    assert (
        f"{numbers}, order_id: string (numbers here, but not in {texts}, which has it too)"
        in found.guesses()
    )
    # Whose id is the same text is found: 12 hours after the event.
    assert found.label is not None
    assert found.label.note == "guess: by then 19 of 20 outcomes of the sample were known"
    kept = kept_samples.kept(found)
    both = set(entities) & set(outcomes)
    assert {line.split(",")[0] for line in kept["results"].splitlines()[1:]} == both


@pytest.mark.parametrize(
    ("entity", "outcome", "told"),
    [
        ("2026-01-01", "2026-01-01T08:00:00Z", "date in orders.csv, timestamp[UTC] in results.csv"),
        ("a7", "7", "string in orders.csv, int64 in results.csv"),
        ("1", "1.0", "int64 in orders.csv, double in results.csv"),
        ("1", "12345678901234567890", "int64 in orders.csv, string in results.csv (whole numbers"),
    ],
)
def test_a_key_that_cannot_be_joined_is_refused(
    tmp_path: Path, entity: str, outcome: str, told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        drafted(orders(tmp_path, entity), results(tmp_path, outcome))
    assert str(caught.value).startswith(
        f"key 'order_id': expected values of one type, some of them in both files; found {told}"
    )


def test_samples_whose_keys_agree_are_left_as_they_are(tmp_path: Path) -> None:
    one, other = orders(tmp_path, "1", "2"), results(tmp_path, "2", "3")
    assert agreed(one, other, ["order_id"]) == (one, other)


def test_a_table_that_writes_its_key_otherwise_is_kept_and_not_joined(tmp_path: Path) -> None:
    entities, outcomes = orders(tmp_path, "1", "2"), results(tmp_path, "1", "2")
    depots = sample(tmp_path, "depots", "depot,doors", "north,2", "5,3")
    for found in (drafted(entities, None, depots), drafted(entities, outcomes, depots)):
        assert kept_samples.kept(found)["depots"] == "depot,doors\nnorth,2\n5,3\n"
    assert (
        "depots, key: depot (unique in the sample; orders hold another type, so the features do not"
        " read the table)"
    ) in found.guesses()
