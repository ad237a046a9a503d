"""Equal values have equal digests, other values others, and nothing counts by its address."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.digest import DIGESTED_IF_SET, NOT_DIGESTED, canonical, digest_of


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@dataclass(frozen=True)
class Pixel:
    x: int
    y: int = 0


Outer = Point


class Number(int):
    pass


class Word(str):
    __slots__ = ()


def twice(number: int) -> int:
    return 2 * number


def test_a_digest_is_the_sha_256_of_canonical_json() -> None:
    # printf '{"a":[1,null,true],"b":"\\u00e9"}' | sha256sum
    known = "8fe5149205aa9a0cac85780e565ce3b64d9daf3bc6915870d52c2be3626a8c02"
    assert digest_of({"b": "é", "a": [1, None, True]}) == known


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ([1, 2], (1, 2)),
        ({"x", "y", "z"}, {"z", "y", "x"}),
        (Point(1), Point(x=1, y=0)),
        (timedelta(hours=24), timedelta(days=1)),
        (twice, twice),
    ],
)
def test_equal_declarations_have_equal_digests(one: object, other: object) -> None:
    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ([1, 2], [2, 1]),
        (1, "1"),
        (None, "None"),
        (Point(1), Pixel(1)),
        (Point(1), Point(2)),
        (timedelta(seconds=1), 1.0),
        (datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1)),
        (time(5), time(6)),
        ([[1], 2], [1, [2]]),
    ],
)
def test_other_declarations_have_other_digests(one: object, other: object) -> None:
    assert digest_of(one) != digest_of(other)


@pytest.mark.parametrize("value", [object(), b"bytes", 1j, [object()], {"a": object()}])
def test_a_value_without_a_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no canonical form"):
        digest_of(value)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")]])
def test_a_number_that_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_of(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(JSON)
def test_json_is_its_own_canonical_form(value: object) -> None:
    assert canonical(value) == value


@given(JSON, JSON)
def test_digests_agree_exactly_when_values_do(one: object, other: object) -> None:
    assert (digest_of(one) == digest_of(other)) == (repr(canonical(one)) == repr(canonical(other)))


def test_a_class_declared_again_under_its_name_is_told_by_its_own_fields() -> None:
    @dataclass(frozen=True)
    class Point:
        x: int
        z: int = field(default=0, metadata=DIGESTED_IF_SET)
        how: str = field(default="", metadata=NOT_DIGESTED)

    assert canonical(Point(1, 0, "slow")) == {"type": "Point", "x": 1}
    assert canonical(Point(1, 2)) == {"type": "Point", "x": 1, "z": 2}
    assert canonical(Outer(1)) == {"type": "Point", "x": 1, "y": 0}


def test_a_text_that_is_more_than_a_text_is_told_as_one() -> None:
    assert canonical([Pixel(Number(3)), Word("a")]) == [{"type": "Pixel", "x": 3, "y": 0}, "a"]
