"""Headframe: the feature store describes every scoring time, from the lake or from memory."""

import hashlib
import shutil
import sys

import deltalake  # noqa: F401 - importing is not what is measured
import duckdb  # noqa: F401
import pyarrow.parquet  # noqa: F401

from benchmarks.features_home import blocks, declared, settings_in, work
from pipelines.adapters import lake
from pipelines.adapters.models import feature_store, known
from pipelines.adapters.stores.object_store import local
from pipelines.domain.features import compute_features, feature_digest, rows_digest


def main() -> None:
    """Describe; with the argument "memory" from tables that lie there, writing nothing."""
    doing, parts = work(), declared()
    settings, asked, view = settings_in(doing.home), blocks(parts), parts.features
    digest = hashlib.sha256()
    rows = 0
    if sys.argv[3:] == ["memory"]:
        tables = known.load(settings, parts.name, view, parts.label)
        with doing.counted():
            made = [compute_features(tables, view, as_of=a, until=b) for a, b in asked]
    else:
        table = lake.features(settings, parts.name, feature_digest(view, parts.label))
        shutil.rmtree(local(table), ignore_errors=True)
        with doing.counted():
            tables = known.load(settings, parts.name, view, parts.label)
            feature_store.describe(table, view, tables, asked)
        made = []
        for block in asked:
            found = feature_store.written_rows_at(table, view, [block])
            if found is not None:
                made.append(found)
    for each in made:
        digest.update(rows_digest(each).encode())
        rows += each.num_rows
    doing.tell(rows=rows, digest=digest.hexdigest())


if __name__ == "__main__":
    main()
