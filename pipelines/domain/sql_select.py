"""SQL select: whether a declared text is one query that only reads."""

import re
from collections.abc import Sequence

TOKENS = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*)
  | (?P<text>'|\bE'|\$(?:[A-Za-z_]\w*)?\$)
  | (?P<name>"(?:[^"]|"")*")
  | (?P<word>[A-Za-z_][\w$]*)
  | (?P<mark>[();])
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What of an SQL text matters here; whatever else there is, is skipped letter by letter."""

READS = ("select", "with")
CHANGES = ("insert", "update", "delete", "merge")
"""First words of a statement, also of one in parentheses after WITH."""


def why_not_one_select(sql: str) -> str:
    """Return why ``sql`` is not one statement that begins with SELECT or WITH; "" where it is.

    A first look that catches mistakes; that nothing is changed is for the database to ensure, by a
    transaction that may only read.

    >>> why_not_one_select("select ';' as mark -- the end;")
    ''
    >>> why_not_one_select("select 1; select 2")
    'several statements'
    >>> why_not_one_select("with gone as (delete from orders returning *) select * from gone")
    "'delete', which changes rows"
    """
    try:
        words = _words(without_end(sql))
    except ValueError as error:
        return str(error)
    if ";" in words:
        return "several statements"
    if not words:
        return "nothing"
    if words[0] not in READS:
        return f"one that begins with {words[0]!r}"
    return _why_not_a_subquery(words)


def without_end(sql: str) -> str:
    """Return the text of one statement without what ends it: blanks and semicolons.

    >>> without_end("select 1 ; ")
    'select 1'
    """
    return sql.rstrip("; \t\r\n")


def _why_not_a_subquery(words: Sequence[str]) -> str:
    depth = 0
    for before, word in zip(["", *words], words, strict=False):
        depth += (word == "(") - (word == ")")
        if depth < 0:
            return "a parenthesis that closes none"
        if before == "(" and word in CHANGES:
            return f"{word!r}, which changes rows"
        if depth == 0 and word == "into":
            return "'into', which makes a table"
    return "a parenthesis left open" if depth else ""


def _words(sql: str) -> list[str]:
    """Return words in lower case, parentheses and semicolons, outside comments and literals."""
    found: list[str] = []
    position = 0
    while match := TOKENS.search(sql, position):
        position = match.end()
        if match["comment"] == "/*":
            position = _after_comment(sql, position)
        elif match["text"]:
            position = _after_text(sql, match["text"], position)
            found.append("''")
        elif match["name"]:
            found.append('""')
        elif not match["comment"]:
            found.append(match[0].lower())
    return found


def _after_comment(sql: str, position: int) -> int:
    """Return where a comment ends that began before ``position``; comments nest."""
    depth = 1
    for mark in re.finditer(r"/\*|\*/", sql[position:]):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return position + mark.end()
    raise ValueError("a comment left open")


def _after_text(sql: str, opened: str, position: int) -> int:
    """Return where a literal ends that began before ``position`` with ``opened``."""
    if opened.startswith("$"):
        pattern = re.escape(opened)
    else:  # two quotes in a row stand for one; in E'...' a backslash hides what follows
        pattern = r"(?:''|\\.|[^'\\])*'" if len(opened) == 2 else r"(?:''|[^'])*'"
    literal = re.compile(pattern, re.DOTALL)
    end = literal.search(sql, position) if opened.startswith("$") else literal.match(sql, position)
    if not end:
        raise ValueError("a text left open")
    return end.end()
