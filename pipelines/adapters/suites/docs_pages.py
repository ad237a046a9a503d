"""Docs pages: the frame of a check's page, and the lists of checks; static, and complete by themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipelines.domain.quality_record import QualityRecord

if TYPE_CHECKING:
    from jinja2 import Template

VERDICTS = {
    "publish": ("published", "good"),
    "publish_and_flag": ("published, flagged", "flag"),
    "refuse": ("refused", "bad"),
}
"""Verdict -> its words and its colour."""

STYLE = """
:root{--ink:#1c2733;--soft:#5b6876;--line:#dde3e9;--paper:#fff;--ground:#f5f7f9;--good:#1a7f4b;
--flag:#946200;--bad:#b3261e;--link:#0b5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e4e9ee;--soft:#9aa7b4;--line:#33404d;--paper:#18212a;
--ground:#10171e;--good:#5fcf95;--flag:#e6b450;--bad:#ff8a80;--link:#82b8f2}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px 28px 60px}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
nav.path{color:var(--soft);font-size:14px;margin-bottom:10px}
h1{font-size:24px;line-height:1.25;margin:0 0 4px}h2{font-size:17px;margin:26px 0 8px}
h5,h6{font-size:15px;margin:0}
.soft{color:var(--soft)}.good{color:var(--good)}.flag{color:var(--flag)}.bad{color:var(--bad)}
.verdict{font-weight:600}
table{border-collapse:collapse;width:100%;background:var(--paper);border:1px solid var(--line)}
th,td{padding:6px 10px;text-align:left;vertical-align:top;border-top:1px solid var(--line);
overflow-wrap:anywhere}
th{font-weight:600;color:var(--soft);font-size:13px;border-top:0;white-space:nowrap}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.word{white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr max-content 1fr;gap:4px 18px;margin:14px 0 0;
padding:14px 18px;background:var(--paper);border:1px solid var(--line)}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
details{margin-top:10px}summary{cursor:pointer;padding:6px 0}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
footer{margin-top:28px;color:var(--soft);font-size:13px}
@media (max-width:760px){dl{grid-template-columns:max-content 1fr}main{padding:16px 12px 40px}}
"""

GX_STYLE = """
.ge-section{margin:22px 0 0}.alert{padding:8px 12px;background:var(--paper);
border:1px solid var(--line);font-weight:600}
.alert+.table-responsive table,.alert{margin-bottom:-1px}
.alert .h6,.alert span{font-weight:400}
.ge-section .table-responsive{overflow-x:auto}
.ge-section .table-sm td:first-child{width:260px}
.ge-section table.table:not(.table-sm) td:first-child,
.ge-section table.table:not(.table-sm) th:first-child{width:70px;text-align:center}
.ge-section table.table:not(.table-sm) td:last-child{width:220px}
.ge-section thead[hidden]{display:none}
.ge-section .table-sm td{padding:3px 10px}.ge-section h6{margin:10px 0 4px}.ge-section .card{margin:10px 0 0;font-size:13px}
.ge-section p{margin:0}
.show-scrollbars{overflow:auto}
.badge{background:var(--ground);border:1px solid var(--line);border-radius:3px;padding:0 5px;
font:13px ui-monospace,monospace;overflow-wrap:anywhere}
.text-danger{color:var(--bad)}.text-success{color:var(--good)}.text-warning{color:var(--flag)}
strong.text-danger{font-weight:600}strong.text-danger br:first-child{display:none}
.fas{font-style:normal;font-weight:700}.fa-check-circle::before{content:"\\2713"}
.fa-times::before{content:"\\2717"}.fa-exclamation-triangle::before{content:"!"}
ul{margin:0;padding-left:20px}
.filter{margin:14px 0 0;display:block}
main:has(#failed-only:checked) .ge-section tr:has(td.hide-succeeded-validation-target-child),
main:has(#failed-only:checked) .ge-section:has(.hide-succeeded-validations-column-section-target-child)
{display:none}
"""

PAGE_FRAME = """\
{% autoescape true %}<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ table }} {{ day }} {{ words }}</title><style>{{ style | safe }}</style></head>
<body><main>
<nav class="path"><a href="../../../index.html">Data Docs</a> / \
<a href="../../index.html">{{ use_case }}</a> / {{ table }} / {{ day }}</nav>
<h1>{{ use_case }}.{{ table }}: <span class="{{ colour }}">{{ words }}</span></h1>
<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
{% if rejections %}<h2>Rejected by the contract, before the suite</h2>
<table id="contract"><thead><tr><th>reason</th><th class="number">rows</th></tr></thead><tbody>
{% for rule, rows in rejections %}<tr><td>{{ rule }}</td><td class="number">{{ rows }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
{% if rules %}<h2>Rules that did not hold</h2>
<table id="failed"><thead><tr><th>rule</th><th>severity</th><th>then</th><th>observed</th>
<th class="number">failed</th><th class="number">judged</th></tr></thead><tbody>
{% for rule in rules %}<tr><td>{{ rule.kind }}{% if rule.of %}:<wbr>{{ rule.of }}{% endif %}</td><td class="word">{{ rule.severity }}</td>
<td class="word">{{ rule.then }}</td><td>{{ rule.observed }}</td><td class="number">{{ rule.failed }}</td>
<td class="number">{{ rule.judged }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
<label class="filter"><input type="checkbox" id="failed-only"> Only what failed</label>
{% endautoescape %}{% for section in sections %}{% set section_loop = loop -%}{% include "section.j2" %}{% endfor %}
{% autoescape true %}<footer>Rendered by Great Expectations {{ ge_version }} from
<a href="{{ gx_json }}">the result in its JSON</a>. No row's value is kept.</footer>
</main></body></html>{% endautoescape %}
"""
"""Our place for the sections that GX's templates render, in GX's own template language."""

VALUES = """\
{% autoescape true %}{% for rows in content_block["graph"]["datasets"].values() %}
<table class="table-sm">{% for row in rows %}<tr>{% for value in row.values() %}<td>{{ value }}</td>
{% endfor %}</tr>{% endfor %}</table>{% endfor %}{% endautoescape %}
"""
"""What GX draws as a chart, by scripts from elsewhere, as a table."""

LIST = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ title }}</title><style>{{ style | safe }}</style></head>
<body><main>
<nav class="path">{% if up %}<a href="{{ up }}">Data Docs</a> / {{ use_case }}{% else %}Data Docs\
{% endif %}</nav>
<h1>{{ title }}</h1><div class="soft">{{ lead }}</div>
{% for table in tables %}<h2 id="{{ table.name }}">{{ table.heading }}</h2>
{% for day in table.days %}<details{% if day.open %} open{% endif %}><summary><b>{{ day.day }}</b>
<span class="soft">{{ day.says }}</span></summary>
<table><thead><tr><th>run</th><th>verdict</th><th class="number">rows</th>
<th class="number">set aside</th><th class="number">rejected by contract</th>
<th class="number">rules</th><th class="number">failed</th><th class="number">version</th>
</tr></thead><tbody>
{% for check in day.checks %}<tr>
<td>{% if check.link %}<a href="{{ check.link }}">{{ check.run }}</a>{% else %}{{ check.run }}\
{% endif %}</td>
<td class="verdict {{ check.colour }}">{{ check.words }}</td>
<td class="number">{{ check.rows }}</td><td class="number">{{ check.set_aside }}</td>
<td class="number">{{ check.rejected }}</td><td class="number">{{ check.rules }}</td>
<td class="number">{{ check.failed }}</td><td class="number">{{ check.version }}</td></tr>
{% endfor %}</tbody></table></details>{% endfor %}{% endfor %}
{% if rows %}<h2>Last check of each table</h2><table><thead><tr><th>use case</th><th>table</th>
<th>as of</th><th>verdict</th><th class="number">rows</th><th class="number">rules</th>
<th class="number">failed</th></tr></thead><tbody>
{% for row in rows %}<tr><td><a href="{{ row.use_case_link }}">{{ row.use_case }}</a></td>
<td><a href="{{ row.table_link }}">{{ row.table }}</a></td><td>{{ row.as_of }}</td>
<td class="verdict {{ row.colour }}">{{ row.words }}</td><td class="number">{{ row.rows }}</td>
<td class="number">{{ row.rules }}</td><td class="number">{{ row.failed }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
{% if not tables and not rows %}<p>No check yet: they come with the first
<code>headframe run ingest</code>.</p>{% endif %}
</main></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A record on a list: the names of its day and page, and whether there is a page."""

    record: QualityRecord
    day: str
    stem: str
    has_page: bool


def frame(record: QualityRecord, gx_json: str) -> dict[str, Any]:
    """Return what ``PAGE_FRAME`` shows beside GX's sections; ``gx_json`` names the file it links."""
    words, colour = VERDICTS[record.verdict]
    version = (
        "none: nothing was published" if record.table_version is None else record.table_version
    )
    return {
        "style": STYLE + GX_STYLE,
        "use_case": record.use_case,
        "table": record.table,
        "day": record.as_of.date().isoformat(),
        "words": words,
        "colour": colour,
        "facts": (
            ("run", record.run),
            ("as of", _moment(record)),
            ("suite", record.suite),
            ("suite digest", record.suite_digest[:12]),
            ("rows landed", f"{record.landed:,}"),
            ("rows checked", f"{record.rows:,}"),
            ("rows set aside by rules", f"{record.rows_set_aside:,}"),
            ("table version", version),
        ),
        "rejections": [(rule, f"{rows:,}") for rule, rows in record.contract.items()],
        "rules": [
            {
                "kind": result.rule.partition(":")[0],
                "of": result.rule.partition(":")[2],
                "severity": result.severity,
                "then": "set its rows aside" if result.on_fail == "quarantine" else "",
                "observed": result.observed,
                "failed": f"{result.unexpected_count:,}" if result.unexpected_count else "",
                "judged": f"{result.rows_evaluated:,}",
            }
            for result in record.failed
        ],
        "gx_json": quote(gx_json),
    }


def use_case_page(use_case: str, tables: Mapping[str, Sequence[Listed]], most: int) -> str:
    """Return the list of a use case's checks, by table and day, newest first."""
    return _template().render(
        style=STYLE,
        title=f"{use_case}: checks",
        use_case=use_case,
        up="../index.html",
        lead=f"The last {most:,} checks of each table; ledger.quality holds all of them.",
        tables=[
            {"name": name, "heading": name, "days": _days(name, listed)}
            for name, listed in tables.items()
        ],
    )


def home_page(last: Sequence[QualityRecord], most: int) -> str:
    """Return the first page: each table with its last check."""
    rows = [
        {
            "use_case": record.use_case,
            "use_case_link": f"{quote(record.use_case)}/index.html",
            "table": record.table,
            "table_link": f"{quote(record.use_case)}/index.html#{quote(record.table)}",
            "as_of": _moment(record),
            **_numbers(record),
        }
        for record in last
    ]
    lead = f"Checks of landed rows by Great Expectations' suites; the last {most:,} of each table."
    return _template().render(style=STYLE, title="Data Docs", lead=lead, rows=rows)


def _days(table: str, listed: Sequence[Listed]) -> list[dict[str, Any]]:
    by_day: dict[str, list[Listed]] = {}
    for item in listed:
        by_day.setdefault(item.day, []).append(item)
    return [_day(table, day, items, first=not n) for n, (day, items) in enumerate(by_day.items())]


def _day(table: str, day: str, items: Sequence[Listed], *, first: bool) -> dict[str, Any]:
    refused = sum(item.record.verdict == "refuse" for item in items)
    flagged = sum(item.record.verdict == "publish_and_flag" for item in items)
    says = [f"{len(items)} check{'s' if len(items) > 1 else ''}"]
    says += [f"{flagged} flagged"] if flagged else []
    says += [f"{refused} refused"] if refused else []
    return {
        "day": day,
        "open": first or bool(refused),
        "says": ", ".join(says),
        "checks": [
            {
                "run": item.record.run,
                "link": f"{quote(table)}/{day}/{quote(item.stem)}.html" if item.has_page else "",
                **_numbers(item.record),
            }
            for item in items
        ],
    }


def _numbers(record: QualityRecord) -> dict[str, Any]:
    words, colour = VERDICTS[record.verdict]
    without_suite = "no suite" if record.rows else "no row left to check"
    return {
        "words": words,
        "colour": colour,
        "rows": f"{record.rows:,}",
        "set_aside": f"{record.rows_set_aside:,}",
        "rejected": f"{sum(record.contract.values()):,}",
        "rules": f"{len(record.results):,}" if record.results else without_suite,
        "failed": f"{len(record.failed):,}" if record.results else "",
        "version": "none" if record.table_version is None else record.table_version,
    }


def _moment(record: QualityRecord) -> str:
    return record.as_of.isoformat(sep=" ", timespec="minutes")


def _template() -> "Template":
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(LIST)
