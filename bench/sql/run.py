"""Asks Millrace and DuckDB the same SQL over the same files, in turn, and prints what each took: run.py MILLRACE TARGET

Both have two threads and 512 MB of memory. A time of Millrace is that of its whole process, from start to end; one of
DuckDB begins when its tables and views are there. Both answers are compared, value by value.

    ROWS=10000000    rows of the table
    REPEATS=5        how often each is asked
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

import rows

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "table" / "tests" / "sql"))
from answers import difference, opened, plain  # noqa: E402

THREADS = 2
MEMORY = "512MiB"
Answer = list[dict[str, Any]]

QUESTIONS = {
    "rows of `detections`, by label and hour": """
        SELECT date_trunc('hour', captured_at) AS time, label, COUNT(*) AS n FROM detections
        GROUP BY date_trunc('hour', captured_at), label ORDER BY time, label""",
    "count": "SELECT COUNT(*) AS n FROM detections_unique",
    "by label and hour": """
        SELECT date_trunc('hour', captured_at) AS time, label, COUNT(*) AS n FROM detections_unique
        WHERE status = 'ok' GROUP BY date_trunc('hour', captured_at), label ORDER BY time, label""",
    "the 100 highest scores": """
        SELECT frame_id, detection, label, score, x, y, w, h FROM detections_unique
        WHERE score IS NOT NULL ORDER BY score DESC, frame_id, detection LIMIT 100""",
    "ten minutes of a stream": """
        SELECT frame_id, detection, label, score FROM detections_unique WHERE stream = 'camera-07'
        AND captured_at >= TIMESTAMP '2026-11-01 03:10:00' AND captured_at < TIMESTAMP '2026-11-01 03:20:00'
        ORDER BY frame_id, detection""",
    "frames with more than eight": """
        SELECT stream, COUNT(*) AS n FROM frames WHERE detections > 8 GROUP BY stream ORDER BY stream""",
}


def made(millrace: str, folder: Path, count: int, *, repeated: bool) -> Path:
    """A data folder with a table; made once."""
    ready = folder / "ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        written = rows.write(folder / "table" / "detections", count, repeated=repeated)
        repair = subprocess.run([millrace, "repair", "--data", folder], check=True, capture_output=True, text=True)
        if "left alone" in repair.stdout:
            sys.exit(repair.stdout)
        ready.write_text(f"{written}\n")
    return folder


def of_millrace(millrace: str, folder: Path, sql: str) -> tuple[float, Answer]:
    """What Millrace answers, and the seconds that it takes."""
    started = time.monotonic()
    command = [millrace, "query", "--data", folder, "--format", "json", sql]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return time.monotonic() - started, json.loads(output)


def of_duckdb(folder: Path, sql: str) -> tuple[float, Answer]:
    """What DuckDB answers, and the seconds that it takes."""
    database = opened(folder / "table", ROOT / "table" / "sql" / "views")
    database.execute(f"SET threads = {THREADS}")
    database.execute(f"SET memory_limit = '{MEMORY}'")
    database.execute(f"SET temp_directory = '{folder / 'temporary'}'")
    started = time.monotonic()
    cursor = database.execute(sql)
    found = cursor.fetchall()
    seconds = time.monotonic() - started
    names = [column[0] for column in cursor.description or []]
    return seconds, [dict(zip(names, map(plain, row), strict=True)) for row in found]


def compared(millrace: str, folder: Path, sql: str, repeats: int) -> tuple[float, float, float]:
    """The seconds of each, and how many times those of DuckDB Millrace takes: medians."""
    times = []
    for _ in range(repeats):
        ours, answer = of_millrace(millrace, folder, sql)
        theirs, expected = of_duckdb(folder, sql)
        differs = difference(answer, expected)
        if differs:
            sys.exit(f"{sql}\nthe answers differ: {differs}")
        times.append((ours, theirs, ours / theirs))
    ours, theirs, ratio = map(statistics.median, zip(*times, strict=True))
    return ours, theirs, ratio


def main() -> None:
    """Prints a table of the times."""
    millrace, target = sys.argv[1], Path(sys.argv[2])
    count, repeats = int(os.environ.get("ROWS", "10000000")), int(os.environ.get("REPEATS", "5"))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    version = subprocess.run([millrace, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    print(f"{version}, DuckDB {duckdb.__version__}; {THREADS} threads, {MEMORY}; medians of {repeats}\n")
    print("| frames delivered twice | question | Millrace s | DuckDB s | ratio |\n|---|---|---|---|---|", flush=True)
    for repeated, share in [(False, "none"), (True, "0.1 %")]:
        folder = made(millrace, target / f"rows-{count}-{'some' if repeated else 'none'}", count, repeated=repeated)
        for name, sql in QUESTIONS.items():
            ours, theirs, ratio = compared(millrace, folder, sql, repeats)
            print(f"| {share} | {name} | {ours:.2f} | {theirs:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
