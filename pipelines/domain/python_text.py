"""Python text: literals, calls and comments laid out as ruff's formatter leaves them."""

import json
from collections.abc import Iterable, Sequence

LINE = 100
"""Letters of a line: the project's."""

INDENT = "    "


def text(value: str) -> str:
    """Return a text as a literal in the quotes that need fewer escapes, double ones if equal.

    >>> print(text("it's"), text('the "best"'))
    "it's" 'the "best"'
    """
    if value.count('"') > value.count("'"):
        escaped = json.dumps(value.replace('"', "\\0"), ensure_ascii=False)[1:-1]
        return "'" + escaped.replace("\\\\0", '"').replace("'", "\\'") + "'"
    return json.dumps(value, ensure_ascii=False)


def names(head: str, values: Sequence[str], *, depth: int = 1) -> str:
    """Return ``head`` and texts as a tuple, an entry a line where one line would be too long.

    >>> names("key=", ["a"]), names("key=", ["a", "b"])
    ('key=("a",)', 'key=("a", "b")')
    """
    listed = [text(value) for value in values]
    one_line = f"{head}({', '.join(listed)}{',' if len(listed) == 1 else ''})"
    if len(INDENT) * depth + len(one_line) < LINE:
        return one_line
    return "\n".join(exploded(head, [f"{value}," for value in listed]))


def listed(head: str, values: Sequence[str], *, depth: int = 1) -> str:
    """Return ``head`` and code as a list, an entry a line where one line would be too long."""
    one_line = f"{head}[{', '.join(values)}]"
    if len(INDENT) * depth + len(one_line) < LINE:
        return one_line
    return "\n".join([f"{head}[", *(f"{INDENT}{value}," for value in values), "]"])


def call(head: str, arguments: Iterable[str], *, depth: int = 0, tail: str = "") -> list[str]:
    """Return the lines of a call of ``head``, on one line where it fits, else an argument a line.

    ``tail`` follows the closing bracket.

    >>> call("f", ["a=1", "b=2"], tail=",")
    ['f(a=1, b=2),']
    """
    parts = list(arguments)
    one_line = f"{INDENT * depth}{head}({', '.join(parts)}){tail}"
    if len(one_line) <= LINE:
        return [one_line]
    return exploded(head, [f"{part}," for part in parts], depth=depth, tail=tail)


def exploded(head: str, arguments: Iterable[str], *, depth: int = 0, tail: str = "") -> list[str]:
    """Return the lines of a call with an argument a line, which come with their commas."""
    lines = [f"{INDENT * depth}{head}("]
    for part in arguments:
        lines += [f"{INDENT * (depth + 1)}{line}" if line else "" for line in part.split("\n")]
    return [*lines, f"{INDENT * depth}){tail}"]


def argument(code: str, comment: str = "", *, depth: int = 1) -> str:
    """Return an argument of an exploded call with its comma, and a comment beside or above it.

    ``depth`` is that of the line. Arguments of several lines get the comment above.
    """
    if not comment:
        return f"{code},"
    beside = f"{code},  # {comment}"
    if "\n" not in code and len(INDENT) * depth + len(beside) <= LINE:
        return beside
    return "\n".join([*_wrapped(comment, depth), f"{code},"])


def _wrapped(comment: str, depth: int) -> list[str]:
    lines, line = [], "#"
    for word in comment.split():
        if len(INDENT) * depth + len(line) + 1 + len(word) > LINE and line != "#":
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]
