"""Checked: what is in the tables that a process wrote, counted by another process."""

import json
import sys
from pathlib import Path

from benchmarks.ingest_peers.flights import facts_of


def main() -> None:
    """Add ``facts`` of the table and ``quarantined`` rows to the answer named by the argument."""
    import duckdb
    from deltalake import DeltaTable

    path = Path(sys.argv[1])
    said = json.loads(path.read_text())
    with duckdb.connect(":memory:") as connection:
        files = DeltaTable(said["table"]).file_uris()
        written = connection.read_parquet([uri.removeprefix("file://") for uri in files])
        said["facts"] = (
            written.query("written", facts_of("written")).to_arrow_table().to_pylist()[0]
        )
    if quarantine := said.get("quarantine"):
        made = DeltaTable.is_deltatable(quarantine)
        said["quarantined"] = DeltaTable(quarantine).count() if made else 0
    path.write_text(json.dumps(said))


if __name__ == "__main__":
    main()
