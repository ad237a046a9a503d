"""A field with a Literal type takes what that allows, however the type is written."""

from dataclasses import dataclass
from typing import Literal

import pytest

from pipelines.domain.contract_problems import choice_problems


@dataclass
class Written:
    shape: Literal["round", "flat"] = "round"
    size: Literal["small", "large"] | None = None
    name: str = ""


@dataclass
class WrittenAsText:
    shape: "Literal['round', 'flat']" = "round"
    size: "Literal['small', 'large'] | None" = None
    name: "str" = ""


@pytest.mark.parametrize("kind", [Written, WrittenAsText])
def test_what_a_literal_type_does_not_allow_is_a_problem(
    kind: type[Written] | type[WrittenAsText],
) -> None:
    assert list(choice_problems(kind(name="anything"), "plate")) == []
    wrong = kind(shape="rounded", size="huge")  # type: ignore[arg-type]  # what is reported
    assert [
        (found.where, found.expected, found.found) for found in choice_problems(wrong, "plate")
    ] == [
        ("plate, shape", "one of round, flat", "'rounded' (did you mean 'round'?)"),
        ("plate, size", "one of small, large or None", "'huge'"),
    ]
