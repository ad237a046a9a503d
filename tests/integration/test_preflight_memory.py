"""Preflight memory: one read of a packed file, in a process of its own."""

import gzip
import os
import subprocess
import sys
from pathlib import Path


def test_one_read_holds_little_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20).hex().encode() + b"\n")
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from pipelines.adapters.landing.preflight import inspect, opened\n"
        "from pipelines.domain.contract import Files\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with opened(Path(sys.argv[1])) as file:\n"
        "    assert inspect(file, 'a.csv.gz', Files(pattern='*'))[1] is None\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    told = subprocess.check_output([sys.executable, "-c", program, path], text=True)
    assert int(told) < 20 * 1024  # KiB, for 128 MiB unpacked
