"""CSV files that go wrong in practice, and what must become of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

READINGS = {"number": "int64", "value": "double?", "note": "string?"}
EVENTS = {"number": "int64", "at": "timestamp[UTC]"}
DAYS = {"number": "int64", "day": "date"}
FLAGS = {"number": "int64", "flag": "bool"}
ONE = {"number": "int64?"}
WORDS = {"words": "string?"}

NUMBER = "contract:type:number:int64"
VALUE = "contract:type:value:double"
AT = "contract:type:at:timestamp[us, tz=UTC]"
DAY = "contract:type:day:date32[day]"
FLAG = "contract:type:flag:bool"
COLUMNS = "contract:columns"
HEAD = "number,value,note\n"
CLOSED = ("every quote to be closed", "one that is open where the file ends")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """A file and its contract (``?``: nullable), and what must become of it.

    Either ``refused`` holds pieces of the error's text, or the others hold every record: ``rows``
    with their number last; ``rejected`` and ``unparsed`` as number -> reason and -> raw record.
    """

    name: str
    content: str | bytes
    columns: Mapping[str, str] = field(default_factory=lambda: READINGS)
    files: Mapping[str, str] = field(default_factory=dict)
    table: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[tuple[Any, ...]] = ()
    rejected: Mapping[int, Sequence[str]] = field(default_factory=dict)
    unparsed: Mapping[int, str] = field(default_factory=dict)
    refused: Sequence[str] = ()


def moment(*parts: int) -> datetime:
    """Return a moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # up to seven numbers


HEADERS = [
    BadFile(name="header only", content=HEAD),
    BadFile(name="header only, blank lines behind", content=f"{HEAD}\n\r\n\n"),
    BadFile(name="blank lines only", content="\n\n\r\n", refused=["a header line"]),
    BadFile(name="mark of byte order only", content="\ufeff\n", refused=["a header line"]),
    BadFile(name="no header", content="1,1,a\n2,2,b\n", refused=["column 'number'", "'1', '1', 'a'", "column '1' once"]),
    BadFile(name="another delimiter", content="number;value;note\n1;1;a\n", refused=["column 'number'", "columns 'number;value;note'"]),
    BadFile(name="tabs", content="number\tvalue\tnote\n1\t1\ta\n", files={"delimiter": "\t"}, rows=[(1, 1.0, "a", 1)]),
    BadFile(name="column missing", content="number,value\n1,1\n", refused=["column 'note'"]),
    BadFile(name="column missing that may not be filled", content="value,note\n1,a\n", table={"on_missing_column": "fill"}, refused=["column 'number'"]),
    BadFile(name="column missing that may be filled", content="note,number\na,1\n", table={"on_missing_column": "fill"}, rows=[(1, None, "a", 1)]),
    BadFile(name="new column", content="number,value,note,extra\n1,1,a,x\n", refused=["no other columns", "'extra'"]),
    BadFile(name="new column that is ignored", content="extra,number,value,note\nx,1,1,a\n", table={"on_new_column": "ignore"}, rows=[(1, 1.0, "a", 1)]),
    BadFile(name="column twice", content="number,value,note,value\n1,1,a,2\n", refused=["column 'value' once", "2 times"]),
    BadFile(name="column twice in two spellings", content="number,value,note,VALUE \n1,1,a,2\n", refused=["column 'value' once"]),
    BadFile(name="ignored column twice", content="x,number,value,note,X\n1,1,1,a,2\n", table={"on_new_column": "ignore"}, refused=["column 'x' once"]),
    BadFile(name="columns in another order", content="note,value,number\na,1.5,7\n", rows=[(7, 1.5, "a", 1)]),
    BadFile(name="header in capitals and with spaces", content='NUMBER, Value ,"Note"\n7,1.5,a\n', rows=[(7, 1.5, "a", 1)]),
    BadFile(name="header that ends with a delimiter", content="number,value,note,\n1,1,a,\n", refused=["no other columns", "''"]),
    BadFile(name="header with an open quote", content='number,value,"note\n1,1,a\n', refused=["a header line"]),
    BadFile(name="header with letters behind a quote", content='"number"x,value,note\n1,1,a\n', refused=["a header line"]),
    BadFile(name="header over two lines", content='number,value,"note\n"\n1,1,a\n', rows=[(1, 1.0, "a", 1)]),
    BadFile(name="header repeated in the file", content=f"{HEAD}1,1,a\n{HEAD}2,2,b\n", rows=[(1, 1.0, "a", 1), (2, 2.0, "b", 3)], rejected={2: [NUMBER, VALUE]}),
]  # fmt: skip

SHAPES = [
    BadFile(name="mark of byte order", content=f"\ufeff{HEAD}1,1,a\n", rows=[(1, 1.0, "a", 1)]),
    BadFile(name="second mark of byte order", content="\ufeff\ufeffnumber,value,note\n1,1,a\n", refused=["column 'number'"]),
    BadFile(name="mark of byte order in a cell", content=f"{HEAD}1,1,\ufeff\n\ufeff2,2,b\n", rows=[(1, 1.0, "\ufeff", 1)], rejected={2: [NUMBER]}),
    BadFile(name="CRLF", content="number,value,note\r\n1,1,a\r\n2,,\r\n", rows=[(1, 1.0, "a", 1), (2, None, None, 2)]),
    BadFile(name="CR alone", content="number,value,note\r1,1,a\rx,2,b\r\n", rows=[(1, 1.0, "a", 1)], rejected={2: [NUMBER]}),
    BadFile(name="all three ends of a line", content=f"{HEAD}1,1,a\r2,2,b\r\n\r3,3,c\nx,4,d\n", rows=[(1, 1.0, "a", 1), (2, 2.0, "b", 2), (3, 3.0, "c", 3)], rejected={4: [NUMBER]}),
    BadFile(name="a quoted CR and newlines", content=f'{HEAD}1,1,"a\rb\r\nc\n"\nx,1,"d\r"\n', rows=[(1, 1.0, "a\rb\r\nc\n", 1)], rejected={2: [NUMBER]}),
    BadFile(name="as many newlines as records, though no line is one", content=f'{HEAD}1,1,a\r2,2,b\nx,3,c\n4,4,"d\ne"\n', rows=[(1, 1.0, "a", 1), (2, 2.0, "b", 2), (4, 4.0, "d\ne", 4)], rejected={3: [NUMBER]}),
    BadFile(name="blank lines between", content=f"{HEAD}\n1,1,a\n\n\nx,2,b\n\n", rows=[(1, 1.0, "a", 1)], rejected={2: [NUMBER]}),
    BadFile(name="a line of spaces", content=f"{HEAD}1,1,a\n   \n", rows=[(1, 1.0, "a", 1)], unparsed={2: "   "}),
    BadFile(name="too few cells", content=f"{HEAD}1,1\n2,2,b\n", rows=[(2, 2.0, "b", 2)], unparsed={1: "1,1"}),
    BadFile(name="too many cells", content=f"{HEAD}1,1,a,\n2,2,b\n", rows=[(2, 2.0, "b", 2)], unparsed={1: "1,1,a,"}),
    BadFile(name="a decimal comma", content=f"{HEAD}1,1,5,a\n", unparsed={1: "1,1,5,a"}),
    BadFile(name="only delimiters", content=f"{HEAD},,\n", rows=[(None, None, None, 1)]),
    BadFile(name="one column, blank lines", content="number\n1\n\nx\n\n", columns=ONE, rows=[(1, 1), (None, 2), (None, 4)], rejected={3: [NUMBER]}),
    BadFile(name="one column, too many cells", content="number\n1,2\n3\n", columns=ONE, rows=[(3, 2)], unparsed={1: "1,2"}),
    BadFile(name="one column, quoted newline", content='words\n"a\n\nb"\n""\n\n', columns=WORDS, rows=[("a\n\nb", 1), ("", 2), (None, 3)]),
    BadFile(name="one column, open quote", content='words\na\n"b\n', columns=WORDS, refused=CLOSED),
    BadFile(name="a footer", content=f"{HEAD}1,1,a\n1 rows\n", rows=[(1, 1.0, "a", 1)], unparsed={2: "1 rows"}),
]  # fmt: skip

QUOTES = [
    BadFile(name="open quote in the last cell", content=f'{HEAD}1,1,"a\n2,2,b\n', refused=CLOSED),
    BadFile(name="open quote that takes the place of a cell", content=f'{HEAD}1,"1,a\n2,2,b\n', refused=CLOSED),
    BadFile(name="open quote after a closed one", content=f'{HEAD}1,1,"a"\n2,2,"b"""\n3,3,"c""\n', refused=CLOSED),
    BadFile(name="quote that swallows lines and closes", content=f'{HEAD}1,1,"a\n2,2,b\n3,3,c"\n4,4,d\n', rows=[(1, 1.0, "a\n2,2,b\n3,3,c", 1), (4, 4.0, "d", 2)]),
    BadFile(name="quote within a cell", content=f'{HEAD}1,1,5" pipe\n2,2,6""\n', rows=[(1, 1.0, '5" pipe', 1), (2, 2.0, '6""', 2)]),
    BadFile(name="quote behind a space", content=f'{HEAD}1,1, "a"\n', rows=[(1, 1.0, ' "a"', 1)]),
    BadFile(name="letters behind a closed quote", content=f'{HEAD}1,1,"a"b\n', rows=[(1, 1.0, "ab", 1)]),
    BadFile(name="backslash before a quote", content=f'{HEAD}1,1,"a\\"\n', rows=[(1, 1.0, "a\\", 1)]),
    BadFile(name="typographic quotes", content=f"{HEAD}1,1,“a”\n", rows=[(1, 1.0, "“a”", 1)]),
    BadFile(name="quoted numbers", content=f'{HEAD}"1","1.5",""\n', rows=[(1, 1.5, "", 1)]),
    BadFile(name="quoted empty number", content=f'{HEAD}1,"",a\n', rejected={1: [VALUE]}),
    BadFile(name="quotes that are letters", content=f'{HEAD}1,1,"a\n2,2,b"\n', files={"quote": ""}, rows=[(1, 1.0, '"a', 1), (2, 2.0, 'b"', 2)]),
    BadFile(name="broken lines, then an open quote", content=f'{HEAD}1,1\nx,1,a\n2,2,"b\n3,3,c\n', refused=CLOSED),
]  # fmt: skip

CELLS = [
    BadFile(name="words for nothing", content=f"{HEAD}1,N/A,NA\n2,NULL,NULL\n3,-,-\n4,nan,nan\n5,,\n", rows=[(5, None, None, 5)], rejected={1: [VALUE], 2: [VALUE], 3: [VALUE], 4: [VALUE]}),
    BadFile(name="not finite", content=f"{HEAD}1,inf,\n2,-Infinity,\n3,1e400,\n4,1e308,\n", rows=[(4, 1e308, None, 4)], rejected={1: [VALUE], 2: [VALUE], 3: [VALUE]}),
    BadFile(name="spellings of a double", content=f"{HEAD}1,+1.5,\n2,.5,\n3,5.,\n4,1E2,\n5,1_0,\n6,0x1p3,\n7,1.5f,\n8,1e,\n9,-0,\n", rows=[(1, 1.5, None, 1), (2, 0.5, None, 2), (3, 5.0, None, 3), (4, 100.0, None, 4), (9, -0.0, None, 9)], rejected={n: [VALUE] for n in (5, 6, 7, 8)}),
    BadFile(name="spellings of a whole number", content=f"{HEAD}+7,,\n007,,\n-0,,\n0x10,,\n1_000,,\n1.0,,\n1e3,,\n٣,,\n-007,,\n", rows=[(7, None, None, 2), (0, None, None, 3), (-7, None, None, 9)], rejected={n: [NUMBER] for n in (1, 4, 5, 6, 7, 8)}),
    BadFile(name="hexadecimal that would be negative", content=f"{HEAD}0xFFFFFFFFFFFFFFFF,,\n", rejected={1: [NUMBER]}),
    BadFile(name="whole numbers at the ends", content=f"{HEAD}9223372036854775807,,\n9223372036854775808,,\n-9223372036854775808,,\n-9223372036854775809,,\n12345678901234567890,,\n", rows=[(2**63 - 1, None, None, 1), (-(2**63), None, None, 3)], rejected={n: [NUMBER] for n in (2, 4, 5)}),
    BadFile(name="padding", content=f"{HEAD} 1 ,\t1.5 , a \n\u00a02,2,b\n\v3,3,c\n", rows=[(1, 1.5, " a ", 1)], rejected={2: [NUMBER], 3: [NUMBER]}),
    BadFile(name="NUL in a text", content=f"{HEAD}1,1,a\0b\n2,2,\0\n", rows=[(1, 1.0, "a\0b", 1), (2, 2.0, "\0", 2)]),
    BadFile(name="NUL in a number", content=f"{HEAD}1\0,1,a\n2,\0,b\n", rejected={1: [NUMBER], 2: [VALUE]}),
    BadFile(name="letters of many scripts", content=f"{HEAD}1,1,Ζωή 漢字 🎈 e\u0301\u202e\nx,2,漢\n", rows=[(1, 1.0, "Ζωή 漢字 🎈 e\u0301\u202e", 1)], rejected={2: [NUMBER]}),
    BadFile(name="letters that JSON escapes", content=f'{HEAD}x,1,"a\\""\n\tb\x01"\n', rejected={1: [NUMBER]}),
    BadFile(name="a letter cut in two", content=HEAD.encode() + b"1,1,a\n2,2,\xc3\n", refused=["text in utf-8", "other bytes"]),
    BadFile(name="latin-1 said to be utf-8", content=(HEAD + "1,1,Zoë\n").encode("latin-1"), refused=["text in utf-8", "other bytes"]),
    BadFile(name="latin-1", content=(HEAD + "1,1,Zoë\nä,1,ß\n").encode("latin-1"), files={"encoding": "latin-1"}, rows=[(1, 1.0, "Zoë", 1)], rejected={2: [NUMBER]}),
    BadFile(name="a letter that cp1252 lacks", content=HEAD.encode() + b"1,1,\x81\n", files={"encoding": "cp1252"}, refused=["text in cp1252"]),
    BadFile(name="a long line", content=f"{HEAD}1,1,{'a' * 100_000}\nx,{'9' * 1000},b\n", rows=[(1, 1.0, "a" * 100_000, 1)], rejected={2: [NUMBER, VALUE]}),
    BadFile(name="everything wrong in one row", content=f"{HEAD}x,y,z\n", rejected={1: [NUMBER, VALUE]}),
    BadFile(name="first misfit where none may be", content=f"{HEAD}1,1,a\n2,N/A,b\nx,3,c\n", table={"on_changed_column": "refuse"}, refused=["record 2, column 'value'", "type double"]),
]  # fmt: skip

MOMENTS = [
    BadFile(name="moments with an offset", content="number,at\n1,2026-03-01T02:30:00Z\n2,2026-03-01 02:30:00+02:00\n3,2026-03-01T02:30-0230\n4,2026-03-01T02Z\n", columns=EVENTS,
            rows=[(1, moment(2026, 3, 1, 2, 30), 1), (2, moment(2026, 3, 1, 0, 30), 2), (3, moment(2026, 3, 1, 5, 0), 3), (4, moment(2026, 3, 1, 2), 4)]),
    BadFile(name="moments without an offset", content="number,at\n1,2026-03-01T02:30:00\n2,2026-03-01\n3,1772332200\n4,2026-03-01T02:30:00 UTC\n", columns=EVENTS, rejected={n: [AT] for n in (1, 2, 3, 4)}),
    BadFile(name="moments that are none", content="number,at\n1,2026-02-29T00:00Z\n2,2026-13-01T00:00Z\n3,2026-03-01T24:00Z\n4,2026-03-01T00:00:60Z\n5,2026-03-01T00:00+24:00\n6,2024-02-29T00:00Z\n", columns=EVENTS,
            rows=[(6, moment(2024, 2, 29), 6)], rejected={n: [AT] for n in (1, 2, 3, 4, 5)}),
    BadFile(name="parts of a second", content="number,at\n1,2026-03-01T00:00:00.1Z\n2,2026-03-01T00:00:00.123456Z\n3,2026-03-01T00:00:00.1234567Z\n4,2026-03-01T00:00:00.Z\n", columns=EVENTS,
            rows=[(1, moment(2026, 3, 1, 0, 0, 0, 100_000), 1), (2, moment(2026, 3, 1, 0, 0, 0, 123_456), 2)], rejected={3: [AT], 4: [AT]}),
    BadFile(name="moments in small letters or padded", content="number,at\n1,2026-03-01t00:00:00Z\n2,2026-03-01T00:00:00z\n3, 2026-03-01T00:00:00Z\n", columns=EVENTS, rejected={n: [AT] for n in (1, 2, 3)}),
    BadFile(name="moments outside Python's years", content="number,at\n1,0000-01-01T00:00Z\n2,0001-01-01T00:00+01:00\n3,9999-12-31T23:59-01:00\n4,10000-01-01T00:00Z\n", columns=EVENTS, rejected={n: [AT] for n in (1, 2, 3, 4)}),
    BadFile(name="spellings of a day", content="number,day\n1,2026-03-01\n2,1.3.2026\n3,03/01/2026\n4,2026-3-1\n5,20260301\n6,2026-02-30\n7, 2026-03-02 \n8,2026-03-01T00:00:00\n9,0000-01-01\n", columns=DAYS,
            rows=[(1, date(2026, 3, 1), 1), (7, date(2026, 3, 2), 7)], rejected={n: [DAY] for n in (2, 3, 4, 5, 6, 8, 9)}),
    BadFile(name="spellings of a bool", content="number,flag\n1,true\n2,FALSE\n3,1\n4,0\n5,yes\n6,t\n7,tRUE\n8, true\n9,2\n", columns=FLAGS,
            rows=[(1, True, 1), (2, False, 2), (3, True, 3), (4, False, 4)], rejected={n: [FLAG] for n in (5, 6, 7, 8, 9)}),
]  # fmt: skip

CASES = [*HEADERS, *SHAPES, *QUOTES, *CELLS, *MOMENTS]
