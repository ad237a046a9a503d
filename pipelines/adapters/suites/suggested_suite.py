"""Suggested suite: suggestions as the text of a suite file that Great Expectations accepts."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.adapters.stores.whole_files import write_whole
from pipelines.domain.contract import Table
from pipelines.domain.suggestions import Suggestions


def checked(found: Suggestions, table: Table) -> str:
    """Return the suggested suite as a file's text, after GX accepted every rule of it."""
    from pipelines.adapters.suites import gx_suites

    text = laid_out(found)
    with TemporaryDirectory(prefix="headframe-") as folder:
        path = Path(folder) / f"{table.name}.json"
        write_whole(path, text)
        gx_suites.verify(gx_suites.load_suite(path, table.types))
    return text


def laid_out(found: Suggestions) -> str:
    """Return the suite as JSON with a line a key, as suites are written by hand."""
    rules = []
    for rule in found.expectations:
        lines = (f'      "{key}": {json.dumps(rule[key], ensure_ascii=False)}' for key in rule)
        rules.append("    {\n" + ",\n".join(lines) + "\n    }")
    name, listed = json.dumps(found.name), ",\n".join(rules)
    return f'{{\n  "name": {name},\n  "expectations": [\n{listed}\n  ]\n}}\n'
