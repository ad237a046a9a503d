"""JSON lines that go wrong in practice, and what must become of each."""

from dataclasses import dataclass

TYPE = "contract:type:"


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """One line between two sound ones, and the reasons it is set aside for.

    ``pyarrow`` says what ``pyarrow.json`` makes of it with an explicit schema: refuses it, takes it
    for something else without a word, or ends the process.
    """

    name: str
    line: str | bytes
    reasons: tuple[str, ...]
    pyarrow: str = "refuses"


BAD_LINES = [
    BadLine(name="fraction for a whole number", line='{"whole":1.5}', reasons=(TYPE + "whole:int64",)),
    BadLine(name="whole double", line='{"whole":1.0}', reasons=(TYPE + "whole:int64",)),
    BadLine(name="exponent", line='{"whole":1e3}', reasons=(TYPE + "whole:int64",)),
    BadLine(name="number as text", line='{"whole":"7"}', reasons=(TYPE + "whole:int64",)),
    BadLine(name="bool for a number", line='{"whole":true}', reasons=(TYPE + "whole:int64",)),
    BadLine(name="2^63", line='{"whole":9223372036854775808}', reasons=(TYPE + "whole:int64",)),
    BadLine(name="five thousand digits", line='{"whole":' + "9" * 5000 + "}", reasons=(TYPE + "whole:int64",)),
    BadLine(name="array", line='{"whole":[1]}', reasons=(TYPE + "whole:int64",)),
    BadLine(name="double as text", line='{"real":"1.5"}', reasons=(TYPE + "real:double",)),
    BadLine(name="NaN", line='{"real":NaN}', reasons=(TYPE + "real:double",), pyarrow="takes"),
    BadLine(name="Infinity", line='{"real":-Infinity}', reasons=(TYPE + "real:double",), pyarrow="takes"),
    BadLine(name="double too large", line='{"real":1e400}', reasons=(TYPE + "real:double",)),
    BadLine(name="2^53 + 1 as a double", line='{"real":9007199254740993}', reasons=(TYPE + "real:double",), pyarrow="takes"),
    BadLine(name="number for a bool", line='{"flag":1}', reasons=(TYPE + "flag:bool",)),
    BadLine(name="number for a text", line='{"words":1}', reasons=(TYPE + "words:string",)),
    BadLine(name="object for a text", line='{"words":{"a":1}}', reasons=(TYPE + "words:string",)),
    BadLine(name="half a surrogate pair", line=r'{"words":"\ud800"}', reasons=(TYPE + "words:string",)),
    BadLine(name="number for a day", line='{"day":20130102}', reasons=(TYPE + "day:date32[day]",), pyarrow="takes"),
    BadLine(name="no such day", line='{"day":"2013-02-30"}', reasons=(TYPE + "day:date32[day]",)),
    BadLine(name="year 0", line='{"day":"0000-01-01"}', reasons=(TYPE + "day:date32[day]",)),
    BadLine(name="moment without offset", line='{"moment":"2013-01-02T03:04:05"}', reasons=(TYPE + "moment:timestamp[us, tz=UTC]",), pyarrow="takes"),
    BadLine(name="day for a moment", line='{"moment":"2013-01-02"}', reasons=(TYPE + "moment:timestamp[us, tz=UTC]",), pyarrow="takes"),
    BadLine(name="finer than a microsecond", line='{"moment":"2013-01-02T03:04:05.1234567Z"}', reasons=(TYPE + "moment:timestamp[us, tz=UTC]",)),
    BadLine(name="key twice", line='{"whole":1,"whole":2}', reasons=("contract:duplicate:whole",)),
    BadLine(name="key twice, escaped", line=r'{"whole":1,"\u0077hole":2}', reasons=("contract:duplicate:whole",)),
    BadLine(name="key twice, a colon in the lost value", line='{"words":"a:b","words":"c"}', reasons=("contract:duplicate:words",)),
    BadLine(name="key twice, an escaped colon beside it", line=r'{"whole":1,"whole":2,"words":"a\u003ab"}', reasons=("contract:duplicate:whole",)),
    BadLine(name="key twice, spelled in two ways", line='{"whole":1,"Whole ":2}', reasons=("contract:duplicate:whole",)),
    BadLine(name="key in place of another", line='{"whole":1,"whole":2,"real":null}', reasons=("contract:duplicate:whole",)),
    BadLine(name="unknown key", line='{"hole":1}', reasons=("contract:column:hole",)),
    BadLine(name="unknown key that is data", line='{"Jane Doe, Long Street 4, Springfield":1}', reasons=("contract:column:Jane Doe, Long Stree",)),
    BadLine(name="unknown key of half a pair", line=r'{"\ud800":1}', reasons=("contract:column:?",)),
    BadLine(name="all wrong", line='{"whole":"x","real":"y","z":1}', reasons=(TYPE + "whole:int64", TYPE + "real:double", "contract:column:z")),
]  # fmt: skip
"""Objects with a value or a key that breaks the contract."""

NO_OBJECTS = [
    BadLine(name="null", line="null", reasons=("contract:json",), pyarrow="ends the process"),
    BadLine(name="number", line="5", reasons=("contract:json",)),
    BadLine(name="text", line='"words"', reasons=("contract:json",)),
    BadLine(name="array of objects", line='[{"whole":1}]', reasons=("contract:json",)),
    BadLine(name="cut", line='{"whole":1', reasons=("contract:json",)),
    BadLine(name="two objects", line='{"whole":1}{"whole":2}', reasons=("contract:json",), pyarrow="takes"),
    BadLine(name="trailing letters", line='{"whole":1} x', reasons=("contract:json",)),
    BadLine(name="trailing comma", line='{"whole":1},', reasons=("contract:json",)),
    BadLine(name="trailing comma inside", line='{"whole":1,}', reasons=("contract:json",)),
    BadLine(name="single quotes", line="{'whole':1}", reasons=("contract:json",)),
    BadLine(name="Python's words", line='{"flag":True,"words":None}', reasons=("contract:json",)),
    BadLine(name="comment", line='{"whole":1 /* one */}', reasons=("contract:json",)),
    BadLine(name="leading zero", line='{"whole":01}', reasons=("contract:json",)),
    BadLine(name="no digit after the point", line='{"real":1.}', reasons=("contract:json",)),
    BadLine(name="raw tab in a text", line='{"words":"a\tb"}', reasons=("contract:json",)),
    BadLine(name="latin-1", line='{"words":"Zoë"}'.encode("latin-1"), reasons=("contract:json",), pyarrow="takes"),
    BadLine(name="NUL", line="\0", reasons=("contract:json",)),
    BadLine(name="lone carriage return between objects", line='{"whole":1}\r{"whole":2}', reasons=("contract:json",), pyarrow="takes"),
    BadLine(name="byte order mark in the middle", line='\ufeff{"whole":1}', reasons=("contract:json",), pyarrow="takes"),
    BadLine(name="thousands of brackets", line='{"whole":' + "[" * 100_000, reasons=("contract:json",)),
]  # fmt: skip
"""Lines that are no JSON object."""
