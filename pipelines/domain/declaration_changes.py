"""Declaration changes: what differs between two declarations, and whom each difference concerns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipelines.domain import change_meanings as meanings_of
from pipelines.domain.change_meanings import GRAVITY, Judge, Meaning, Verdict

Declared: TypeAlias = Mapping[str, Any]
"""A declaration or a part of it, as ``digest.canonical`` writes it."""

LONGEST_VALUE = 60
"""Characters of a value that a change shows."""

_OF_THEIR_OWN = ("tables", "features", "label", "gates", "scoring")
_OF_SCORING = ("rules", "promises", "outputs")
"""Parts that are compared piece by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference: where, from what to what, what it means, why, and for which consumers."""

    where: str
    before: str
    after: str
    verdict: Verdict
    reason: str
    consumers: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the change in one line."""
        concerned = f" ({', '.join(self.consumers)})" if self.consumers else ""
        return f"{self.where}: {self.before} -> {self.after}; {self.reason}{concerned}"


def gravest(changes: Sequence[Change]) -> Verdict:
    """Return the verdict over all changes; "compatible" where there is none."""
    return max((change.verdict for change in changes), key=GRAVITY.index, default="compatible")


def declaration_changes(before: Declared, after: Declared) -> tuple[Change, ...]:
    """Return every difference between two declarations of one use case, the gravest first.

    Both are canonical forms (``digest.canonical``). Tables, columns, outputs, rules and promises are
    matched by name, so that their order alone is no change, save that of columns in an output and of
    rules, which their readers see.
    """
    found = [
        *_fields(
            "use case",
            _without(_OF_THEIR_OWN, before),
            _without(_OF_THEIR_OWN, after),
            meanings_of.USE_CASE,
            otherwise=meanings_of.OWN,
        ),
        *_tables(before, after),
        *_label(before.get("label"), after.get("label")),
        *_entity(before, after),
        *_gates(before, after),
        *_scoring(before, after),
    ]
    return tuple(sorted(found, key=lambda change: -GRAVITY.index(change.verdict)))


def _fields(
    where: str,
    before: Declared,
    after: Declared,
    meanings: Mapping[str, Judge],
    *,
    otherwise: Judge | None = None,
    consumers: Sequence[str] = (),
) -> Iterator[Change]:
    """Yield the differences in the fields that have a meaning, or in all where there is another's."""
    names = meanings if otherwise is None else dict.fromkeys([*before, *after])
    for name in names:
        old, new = before.get(name), after.get(name)
        judge = meanings.get(name, otherwise)
        if old == new or judge is None:
            continue
        meaning = judge if isinstance(judge, Meaning) else judge(old, new)
        yield Change(
            where=f"{where}, {name}",
            before=_shown(old),
            after=_shown(new),
            verdict=meaning.verdict,
            reason=meaning.reason,
            consumers=tuple(consumers),
        )


def _tables(before: Declared, after: Declared) -> Iterator[Change]:
    old, new = _by_name(before["tables"]), _by_name(after["tables"])
    for name in [*old, *(name for name in new if name not in old)]:
        where = f"table {name!r}"
        if name not in new:
            yield _gone(where, "its rows stay, and no new ones come: who reads it must stop")
        elif name not in old:
            yield _new(where, meanings_of.OWN)
        else:
            was, now = (_without(("columns",), table) for table in (old[name], new[name]))
            yield from _fields(where, was, now, meanings_of.TABLE, otherwise=meanings_of.OWN)
            yield from _columns(where, old[name]["columns"], new[name]["columns"])


def _columns(where: str, before: Sequence[Declared], after: Sequence[Declared]) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    for name in [*old, *(name for name in new if name not in old)]:
        place = f"{where}, column {name!r}"
        if name not in new:
            yield _gone(place, "queries that name it fail")
        elif name not in old:
            yield _new(place, meanings_of.new_column(new[name]))
        else:
            yield from _fields(place, old[name], new[name], meanings_of.COLUMN)
    if old.keys() == new.keys() and list(old) != list(new):
        before_after = ", ".join(old), ", ".join(new)
        yield _difference(f"{where}, order of columns", *before_after, meanings_of.OWN)


def _label(before: Declared | None, after: Declared | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    yield from _fields(
        "label",
        {**before, "table": before["table"]["name"]},
        {**after, "table": after["table"]["name"]},
        meanings_of.LABEL,
        otherwise=meanings_of.OTHER_PREDICTIONS,
    )


def _entity(before: Declared, after: Declared) -> Iterator[Change]:
    old, new = before.get("features"), after.get("features")
    if old and new:
        names = {"entity": old["entity"]["name"]}, {"entity": new["entity"]["name"]}
        yield from _fields("features", *names, meanings_of.ENTITY)


def _gates(before: Declared, after: Declared) -> Iterator[Change]:
    """Yield the gates that went, came or are set otherwise; one gate may stand more than once."""
    old, new = (list(declared.get("gates", ())) for declared in (before, after))
    gone = [gate for gate in old if gate not in new]
    came = [gate for gate in new if gate not in old]
    for gate in gone:
        same = [other for other in came if other["type"] == gate["type"]]
        if same:
            came.remove(same[0])
        meaning = meanings_of.GATE_CHANGED if same else meanings_of.GATE_GONE
        now = _shown(same[0]) if same else "-"
        yield _difference(f"gate {gate['type']}", _shown(gate), now, meaning)
    for gate in came:
        yield _new(f"gate {gate['type']}", meanings_of.OWN)


def _scoring(before: Declared, after: Declared) -> Iterator[Change]:
    old, new = before.get("scoring"), after.get("scoring")
    if old is None or new is None:
        if old is not None or new is not None:
            meaning = (
                meanings_of.OWN
                if old is None
                else Meaning("breaking", "no predictions are made any more")
            )
            yield _difference("scoring", _shown(old), _shown(new), meaning)
        return
    everybody = _consumers(old["outputs"])
    yield from _fields(
        "scoring",
        _without(_OF_SCORING, old),
        _without(_OF_SCORING, new),
        meanings_of.SCORING,
        otherwise=meanings_of.OTHER_PREDICTIONS,
        consumers=everybody,
    )
    yield from _rules(old["rules"], new["rules"], everybody)
    yield from _promises(old["promises"], new["promises"], everybody)
    yield from _outputs(old["outputs"], new["outputs"])


def _rules(
    before: Sequence[Declared], after: Sequence[Declared], consumers: tuple[str, ...]
) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    for name in [*old, *(name for name in new if name not in old)]:
        where, was, now = f"business rule {name!r}", old.get(name), new.get(name)
        if was is None or now is None:
            yield _difference(
                where, _shown(was), _shown(now), meanings_of.OTHER_PREDICTIONS, consumers
            )
        else:
            yield from _fields(where, was, now, meanings_of.RULE, consumers=consumers)
    both = [name for name in old if name in new]
    if (order := [name for name in new if name in old]) != both:
        shown = (", ".join(both), ", ".join(order))
        yield _difference("business rules, order", *shown, meanings_of.OTHER_PREDICTIONS, consumers)


def _promises(
    before: Sequence[Declared], after: Sequence[Declared], consumers: tuple[str, ...]
) -> Iterator[Change]:
    """Yield promises that went or are weaker; one that is added binds nobody but the use case."""
    for promise in before:
        if promise in after:
            continue
        same = [new for new in after if new["type"] == promise["type"] and new not in before]
        now = same[0] if same else None
        kept = now is not None and _at_least_as_strong(promise, now)
        yield _difference(
            f"promise {promise['type']}",
            _shown(promise),
            _shown(now),
            meanings_of.OWN if kept else meanings_of.WEAKER,
            () if kept else consumers,
        )
    known = {promise["type"] for promise in before}
    for promise in after:
        if promise["type"] not in known:
            yield _new(f"promise {promise['type']}", meanings_of.OWN)


def _at_least_as_strong(before: Declared, after: Declared) -> bool:
    if before["type"] == "PredictionRange":
        return bool(before["low"] <= after["low"] and after["high"] <= before["high"])
    return bool(before["timezone"] == after["timezone"] and after["at"] <= before["at"])


def _outputs(before: Sequence[Declared], after: Sequence[Declared]) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    for name in [*old, *(name for name in new if name not in old)]:
        where = f"output {name!r}"
        if name not in new:
            yield _gone(
                where, "nothing is delivered under this name any more", _consumers([old[name]])
            )
        elif name not in old:
            yield _new(where, meanings_of.OWN)
        elif old[name]["type"] != new[name]["type"]:
            types, told = (old[name]["type"], new[name]["type"]), _consumers([old[name]])
            form = Meaning("breaking", "it comes in another form")
            yield _difference(f"{where}, form", *types, form, told)
        else:
            whom = _consumers([old[name]])
            yield from _fields(where, old[name], new[name], meanings_of.OUTPUT, consumers=whom)
            yield from _shown_columns(where, old[name], new[name], whom)


def _shown_columns(
    where: str, before: Declared, after: Declared, consumers: tuple[str, ...]
) -> Iterator[Change]:
    """Yield the difference in an output's columns; readers of a CSV file may count places."""
    old, new = list(before.get("columns") or ()), list(after.get("columns") or ())
    if old == new:
        return
    by_place = before["type"] == "CsvFile"
    if not old or not new:
        meaning = Meaning("consent", "which columns come, and in which order, is chosen otherwise")
    elif gone := [name for name in old if name not in new]:
        meaning = Meaning("breaking", f"{', '.join(gone)} no longer comes")
    elif [name for name in new if name in old] != old or (by_place and new[: len(old)] != old):
        meaning = Meaning("consent", "columns come in another order")
    elif by_place:
        meaning = Meaning("consent", "lines are longer: a reader that counts places must allow it")
    else:
        meaning = Meaning("compatible", "readers that name their columns see no difference")
    told = () if meaning.verdict == "compatible" else consumers
    yield _difference(f"{where}, columns", ", ".join(old), ", ".join(new), meaning, told)


def _gone(where: str, reason: str, consumers: tuple[str, ...] = ()) -> Change:
    return _difference(where, "declared", "-", Meaning("breaking", reason), consumers)


def _new(where: str, meaning: Meaning) -> Change:
    return _difference(where, "-", "declared", meaning)


def _difference(
    where: str, before: str, after: str, meaning: Meaning, consumers: tuple[str, ...] = ()
) -> Change:
    return Change(
        where=where,
        before=_cut(before) or "-",
        after=_cut(after) or "-",
        verdict=meaning.verdict,
        reason=meaning.reason,
        consumers=consumers,
    )


def _without(names: Sequence[str], declared: Declared) -> Declared:
    return {name: value for name, value in declared.items() if name not in names}


def _by_name(parts: Sequence[Declared]) -> dict[str, Declared]:
    return {str(part["name"]): part for part in parts}


def _consumers(outputs: Sequence[Declared]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(output["consumer"]) for output in outputs))


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
