"""The parse benchmark: its declarations are sound, and its bare files have the tasks they are told."""

import ast
from pathlib import Path

from benchmarks.parse import shape_of
from benchmarks.parse_files import write_bare, write_ours
from pipelines.use_case import load_all

SHAPE: dict[str, dict[str, list[str]]] = {
    "ingest": {"ingest": ["docs"], "docs": []},
    "monitor": {"monitor": []},
}


def test_every_declaration_is_sound_and_another_one(tmp_path: Path) -> None:
    write_ours(tmp_path / "dags", 3)
    sound, broken = load_all(tmp_path / "dags")
    assert broken == []
    assert list(sound) == ["returns_000", "returns_001", "returns_002"]
    assert len({use_case.digest() for use_case in sound.values()}) == 3


def test_a_bare_file_has_the_dags_tasks_and_edges_of_a_shape(tmp_path: Path) -> None:
    write_bare(tmp_path / "bare", 2, SHAPE)
    first, second = (path.read_text() for path in sorted((tmp_path / "bare").iterdir()))
    assert first != second
    lines = [ast.unparse(node) for node in ast.parse(first).body if isinstance(node, ast.With)]
    assert lines == [
        "with dag('ingest', schedules['ingest'], forms['ingest']):\n"
        "    tasks = {name: Nothing(task_id=name, outlets=outlets.get(name))"
        " for name in ('ingest', 'docs')}\n"
        "    tasks['ingest'] >> tasks['docs']",
        "with dag('monitor', schedules['monitor'], forms['monitor']):\n"
        "    tasks = {name: Nothing(task_id=name, outlets=outlets.get(name))"
        " for name in ('monitor',)}",
    ]


def test_the_shape_of_a_use_case_is_its_tasks_by_purpose() -> None:
    dags: dict[str, dict[str, list[str]]] = {
        "returns_000__ingest": {"ingest": ["docs"], "docs": []},
        "returns_000__monitor": {"monitor": []},
    }
    assert shape_of(dags) == SHAPE
