"""Environments: what is installed here, read by hand, is what Python's own metadata says."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from pipelines.adapters.models import environments


def test_packages_are_those_that_their_metadata_names() -> None:
    expected: dict[str, str] = {}
    for package in metadata.distributions():
        name = package.name.lower().replace("_", "-").replace(".", "-")
        expected.setdefault(name, package.version)
    expected.pop("headframe", None)
    assert environments.packages() == expected
    assert list(environments.packages()) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Metadata-Version: 2.1\nName: Odd.One\nVersion: 1.0\n\nName: body\nVersion: 9\n", "1.0"),
        ("Name: Odd_One\nSummary: a line\n        Version: 8\nVersion: 2.0+x\n\n", "2.0+x"),
        ("name: odd-one\nversion: 3.0\n\n", "3.0"),
        ("Name: odd-one\nVersion:\t4.0\n", "4.0"),
    ],
    ids=["more in the body", "more in a folded line", "small letters", "a tab"],
)
def test_a_header_of_any_form_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    folder = tmp_path / "odd_one-0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(text, "utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert environments.packages() == {"odd-one": expected}
