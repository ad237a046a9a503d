"""Shared parts: whatever a feature function takes from shared files, an edit of it is seen."""

from pathlib import Path

import pytest

from pipelines.domain.features import feature_digest
from pipelines.errors import DeclarationError
from pipelines.use_case import TrainedUseCase, load
from tests import shops
from tests.goldens import assert_golden

VIEW = """{before}


@features(entity=orders, reads=[returns])
def books_features(known):
    return known.sql(f"select item, {{{taken}}} as taken from asked")


"""

MAKE = """
def make(n):
    def recent():
        return n
    return recent
"""


def digest(dags: Path, shared: str, names: str, taken: str, before: str = "") -> str:
    shops.declare(dags, f"{shops.SHARED}\n{shared}\n")
    path = dags / "books.py"
    text = path.read_text()
    start, end = text.index("@features"), text.index("def tree")
    text = text[:start] + VIEW.format(before=before, taken=taken) + text[end:]
    path.write_text(text.replace("import interest,", f"import {names},"))
    return digest_at(path)


def digest_at(path: Path) -> str:
    return feature_digest(TrainedUseCase.of(load(path)).features, None)


# What a shared file holds, an edit of it, what the use case imports, and what its query takes.
EDITS = {
    "one closure of two": (
        f"{MAKE}\nfirst, second = make(5), make(60)",
        ("make(60)", "make(61)"),
        "first, second",
        "first() + second()",
    ),
    "a closure within a function": (
        f"{MAKE}\nfirst, second = make(5), make(60)\ndef both():\n    return first() + second()",
        ("make(60)", "make(61)"),
        "both",
        "both()",
    ),
    "a function that a closure was given": (
        "def one():\n    return 1\ndef make(f):\n    return lambda: f()\nrecent = make(one)",
        ("return 1", "return 2"),
        "recent",
        "recent()",
    ),
    "a pattern": ("import re\nVALUE = re.compile('60')", ("60", "61"), "VALUE", "VALUE.pattern"),
    "a pattern within a function": (
        "import re\nVALUE = re.compile('60')\ndef taken():\n    return VALUE.pattern",
        ("60", "61"),
        "taken",
        "taken()",
    ),
    "a number of decimals": (
        "from decimal import Decimal\nVALUE = Decimal('60')\ndef taken():\n    return VALUE",
        ("60", "61"),
        "taken",
        "taken()",
    ),
    "what a partial function is given": (
        "from functools import partial\ndef same(n):\n    return n\nVALUE = partial(same, 60)\n"
        "def taken():\n    return VALUE()",
        ("60", "61"),
        "taken",
        "taken()",
    ),
    "what a partial function runs": (
        "from functools import partial\ndef same(n):\n    return n\nVALUE = partial(same, 60)",
        ("return n", "return -n"),
        "VALUE",
        "VALUE()",
    ),
    "a function in a list": (
        "def one():\n    return 1\nVALUES = [one]",
        ("return 1", "return 2"),
        "VALUES",
        "VALUES[0]()",
    ),
    "which of a library's functions": (
        "from math import floor as rounded\ndef taken():\n    return rounded(1.5)",
        ("floor", "ceil"),
        "taken",
        "taken()",
    ),
    "which of NumPy's functions": (
        "from numpy import floor as rounded\ndef taken():\n    return rounded(1.5)",
        ("floor", "ceil"),
        "taken",
        "taken()",
    ),
    "a decorator": (
        "from functools import wraps\ndef more(f):\n    @wraps(f)\n    def inner():\n"
        "        return f() + 1\n    return inner\n@more\ndef taken():\n    return 1",
        ("f() + 1", "f() + 2"),
        "taken",
        "taken()",
    ),
    "what a decorator of a library wraps": (
        "from functools import lru_cache\n@lru_cache\ndef taken():\n    return 1",
        ("return 1", "return 2"),
        "taken",
        "taken()",
    ),
    "a method": (
        "class Rule:\n    def taken(self):\n        return 1",
        ("return 1", "return 2"),
        "Rule",
        "Rule().taken()",
    ),
    "a value of a class": (
        "SECONDS = 60\nclass Rule:\n    seconds = SECONDS",
        ("= 60", "= 61"),
        "Rule",
        "Rule.seconds",
    ),
    "what a class builds upon": (
        "class First:\n    def taken(self):\n        return 1\nclass Rule(First):\n    pass",
        ("return 1", "return 2"),
        "Rule",
        "Rule().taken()",
    ),
    "a method of a value's class": (
        "from dataclasses import dataclass\n@dataclass\nclass Rule:\n    n: int\n"
        "    @property\n    def taken(self):\n        return self.n\nRULE = Rule(60)",
        ("return self.n", "return -self.n"),
        "RULE",
        "RULE.taken",
    ),
    "one of an enumeration": (
        "from enum import Enum\nclass Kind(Enum):\n    LONG = 60\nKIND = Kind.LONG",
        ("LONG = 60", "LONG = 61"),
        "KIND",
        "KIND.value",
    ),
    "a default": (
        "SECONDS = 60\ndef taken(n=SECONDS):\n    return n",
        ("= 60", "= 61"),
        "taken",
        "taken()",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_what_a_function_runs_makes_other_features(name: str, tmp_path: Path) -> None:
    shared, edit, names, taken = EDITS[name]
    edited = shared.replace(*edit)
    assert edited != shared
    before = digest(tmp_path, shared, names, taken)
    assert digest(tmp_path, edited, names, taken) != before
    assert digest(tmp_path, f"# Said otherwise.\nOTHER = 1\n{shared}", names, taken) == before


OF_THE_FILE = {
    "a closure": ("make", "recent = make(60)", "recent()"),
    "closures in a list": ("make", "recents = [make(5), make(60)]", "recents[0]()"),
    "a partial function": ("make", "from functools import partial\nsix = partial(make, 60)", "six()()"),
    "another name": ("make", "other = make", "other(60)()"),
    "its own function": ("make", "def own():\n    return make(60)()", "own()"),
    "its own factory": (
        "make",
        "def outer(f):\n    return lambda: f()\nown = outer(make(60))",
        "own()",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_THE_FILE)
def test_what_the_use_cases_file_made_of_a_shared_function_counts_as_shared(
    name: str, tmp_path: Path
) -> None:
    names, before, taken = OF_THE_FILE[name]
    was = digest(tmp_path, MAKE, names, taken, before)
    assert digest(tmp_path, MAKE.replace("return n", "return -n"), names, taken, before) != was


def test_a_closure_of_the_use_cases_file_counts_by_what_it_was_given(tmp_path: Path) -> None:
    found = {
        digest(tmp_path, MAKE, "make", "recent()", f"recent = make({seconds})")
        for seconds in (60, 61)
    }
    assert len(found) == 2


OPAQUE = """import threading

LOCK = threading.Lock()


def taken():
    return LOCK
"""


def test_what_cannot_be_told_apart_is_refused_by_the_name_it_has(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        digest(tmp_path, OPAQUE, "taken", "taken()")
    assert_golden("declarations/shared_opaque", str(caught.value))


def test_what_the_use_cases_file_has_of_its_own_is_not_asked_what_it_is(tmp_path: Path) -> None:
    own = ("import threading\nLOCK = threading.Lock()", "LOCK = 1")
    found = {digest(tmp_path, "", "visits as seen", "LOCK", before) for before in own}
    assert len(found) == 1


def test_a_class_is_known_when_its_folder_was_left(tmp_path: Path) -> None:
    rule = "class Rule:\n    def taken(self):\n        return {}"
    first = digest(tmp_path / "first", rule.format(1), "Rule", "Rule().taken()")
    left = TrainedUseCase.of(load(tmp_path / "first" / "books.py")).features
    second = digest(tmp_path / "second", rule.format(2), "Rule", "Rule().taken()")
    assert feature_digest(left, None) == first != second
