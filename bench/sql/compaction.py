"""Has Millrace put an hour of a million rows into one file, and prints what it takes: compaction.py MILLRACE FOLDER"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import rows

USED = Path(__file__).resolve().parents[1] / "used.py"
ROWS = 1_000_000
# Rows of a file as the filer leaves it: 8 MiB of JSON.
FILED = 15_000
PATIENCE = 600
CONFIG = """\
[streams.still]
url = "scene:"
[models.nap]
algorithm = "sleep:1ms"
[models.nap.sample]
every = "1m"
"""


def filed(millrace: str, folder: Path) -> Path:
    """A data folder whose table is an hour that is over, in small files; gives the hour's folder."""
    shutil.rmtree(folder, ignore_errors=True)
    table = folder / "data/table/detections"
    rows.write(table, ROWS, repeated=False)
    parts = sorted(table.rglob("*.parquet"))
    whole = pa.concat_tables(pq.read_table(part, schema=rows.SCHEMA, partitioning=None) for part in parts)
    for part in parts:
        part.unlink()
    hour = table / "dt=2026-11-01/hour=00"
    options = {"compression": "zstd", "compression_level": 1}
    for first in range(0, whole.num_rows, FILED):
        pq.write_table(whole.slice(first, FILED), hour / f"part-{first:07}.parquet", **options)
    subprocess.run([millrace, "repair", "--data", folder / "data"], check=True, capture_output=True)
    return hour


def main() -> None:
    millrace, folder = Path(sys.argv[1]).resolve().as_posix(), Path(sys.argv[2]).resolve()
    hour = filed(millrace, folder)
    before = len(list(hour.iterdir()))
    (folder / "millrace.toml").write_text(CONFIG)
    started = time.monotonic()
    used = folder / "used"
    command = [sys.executable, USED, used, millrace, "up"]
    up = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while (after := len(list(hour.iterdir()))) > 2:
        if up.poll() is not None or time.monotonic() - started > PATIENCE:
            sys.exit(f"{after} of {before} files are left")
        time.sleep(0.1)
    seconds = time.monotonic() - started
    up.terminate()
    up.wait()
    cpu, most = used.read_text().split()
    print(f"{before} files became {after} within {seconds:.1f} s of the start")
    print(f"CPU {float(cpu):.1f} s, resident at most {int(most) / 1_000:.0f} MB")


if __name__ == "__main__":
    main()
