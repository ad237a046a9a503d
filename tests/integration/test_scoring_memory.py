"""Memory of scoring: what one part takes does not grow with its rows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PART = '''
"""Score one part of made-up rows, and print its peak memory in MiB."""
import json, resource, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.adapters.threads import one_thread

with one_thread():
    import numpy as np
    import pyarrow as pa
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    from pipelines.adapters import lake
    from pipelines.adapters.delta import partitions, unseen_files
    from pipelines.adapters.models import feature_batches, part_writer
    from pipelines.adapters.models.champion import Champion
    from pipelines.adapters.models.decisions import Decision
    from pipelines.adapters.models.mlflow_registry import ModelVersion
    from pipelines.adapters.settings import Settings
    from pipelines.domain.fused_encoder import fuse
    from pipelines.domain.probe import Scorer
    from pipelines.domain.scoring import ScorePlan, Share, WindowPlan
    from pipelines.domain.training import FeatureColumns, feature_frame

    at = datetime(2026, 1, 1, tzinfo=UTC)
    count, settings = int(sys.argv[2]), Settings(home=Path(sys.argv[1]))
    columns = FeatureColumns(numeric=tuple(f"n{i}" for i in range(12)), categorical=("text",))

    def rows(first, size):
        drawn = np.random.default_rng(first)
        made = {name: drawn.normal(size=size) for name in columns.numeric}
        texts = pa.array([f"T{n:03}" for n in range(200)])
        made["text"] = texts.take(pa.array(drawn.integers(0, 200, size)))
        moment = pa.repeat(pa.scalar(at, pa.timestamp("us", tz="UTC")), size)
        return pa.table({"id": np.arange(first, first + size), "as_of": moment,
                         "event_time": moment, **made})

    known = rows(1, 5_000)
    model = make_pipeline(
        ColumnTransformer([
            ("n", "passthrough", list(columns.numeric)),
            ("t", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["text"]),
        ]),
        HistGradientBoostingClassifier(max_iter=5, random_state=7),
    ).fit(feature_frame(known, columns), (known["n0"].to_numpy() > 0).astype(int))
    folder = lake.features(settings, "made_up", "f" * 64)
    with unseen_files.unseen(folder, bounds={"as_of": (at, at)}, plain=columns.numeric) as file:
        for first in range(0, count, 1 << 17):
            file.write(rows(first, min(1 << 17, count - first)))
        files = file.finish()
    schema = rows(0, 1).schema
    layout = partitions.Layout(schema=schema, partition_by=())
    partitions.append(folder, layout, [(f, {}) for f in files], transactions={"made": 1}, metadata={})
    units = tuple(feature_batches.units(folder, at_version=1, as_of=at))
    window = WindowPlan(
        window="champion/x", scored_for=at, as_of=at, until=at + timedelta(days=1), outcome="score",
        reason="first", feature_version=1, rows_digest="", rows=count, stale=(), tables={},
        run_key="ab" * 32, number=0, layers={},
    )
    share = Share(window=0, units=units)
    plan = ScorePlan(use_case="made_up", run="r", model_version="1", declaration="d",
                     features="f" * 64, windows=(window,), parts=((share,),))
    version = ModelVersion(version="1", run_id="r", artifact_sha256="a", tags={})
    promoted = Decision(kind="promoted", use_case="made_up", version="1", actor="test", as_of=at,
                        reason="", artifact_sha256="a", evidence_digest="e")
    done = part_writer.write(
        settings, plan, share, key=["id"], champion=Champion(model=version, promoted=promoted),
        scorer=Scorer(model=model, columns=columns, fused=fuse(model, columns)), rules=(), promises=(),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": done.scored, "peak": peak}))
'''

MOST_MIB = 700
GROWTH_MIB = 60
"""What noise of the allocator and the footer of a longer file may add."""


@pytest.mark.prove
def test_ten_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for count in (400_000, 4_000_000):
        command = [sys.executable, "-c", PART, str(tmp_path / str(count)), str(count)]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        found = json.loads(told.stdout)
        assert found["rows"] == count
        peaks.append(found["peak"])
    few, many = peaks
    assert many < MOST_MIB, peaks
    assert many < few + GROWTH_MIB, peaks
