#!/usr/bin/env python3
"""Audits a million frames in flight and prints what that takes, beside an audit of a few: run.py MILLRACE FOLDER

The files are Millrace's own: it receives a scene, and what it left in its spool and its queue is multiplied there. The
table is made up as in the benchmark of SQL, and listed by `repair`.

    FRAMES=1000000   frames in flight, half of them in the spool and half in the queue
    ROWS=1000000     answered frames in the table besides, a row each, at last
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sql"))
from rows import SCHEMA

USED = Path(__file__).resolve().parents[1] / "used.py"
# Rows of a file.
FILED = 250_000
CONFIG = """\
[streams.gate]
url = "scene:?seconds=30&fps=5"
[models.round]
algorithm = "circles"
"""
Message = dict[str, Any]


def received(millrace: str, folder: Path) -> None:
    """A data folder with what a receiver leaves when no worker runs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "millrace.toml").write_text(CONFIG)
    subprocess.run([millrace, "receive"], cwd=folder, check=True, capture_output=True)


def copies(message: Message, first: int, end: int) -> Iterator[str]:
    """The message as it would be for other frames of its epoch, as many in each."""
    frames = message["frames"]
    for begin in range(first, end, len(frames)):
        seqs = range(begin, min(begin + len(frames), end))
        numbered = [frame | {"seq": seq, "media_time": seq * 90_000} for frame, seq in zip(frames, seqs, strict=False)]
        yield json.dumps(message | {"frames": numbered}, separators=(",", ":"))


def multiply(data: Path, count: int) -> None:
    """Puts so many frames in flight in the place of those that are."""
    spool, queue = (sqlite3.connect(data / file) for file in ("spool/gate.sqlite", "queue/round.sqlite"))
    with closing(spool), closing(queue):
        # Its triggers ask for it; older SQLites have none.
        queue.create_function("octet_length", 1, lambda text: len(text.encode()), deterministic=True)
        (body,) = queue.execute("SELECT body FROM messages ORDER BY id LIMIT 1").fetchone()
        message = json.loads(body)
        with queue:
            queue.execute("DELETE FROM messages")
            bodies = ((body,) for body in copies(message, 0, count // 2))
            queue.executemany("INSERT INTO messages (body, sent_at) VALUES (?, 0)", bodies)
        with spool:
            rows = (
                (message["epoch"], len(json.loads(body)["frames"]), len(body), body)
                for body in copies(message, count // 2, count)
            )
            spool.executemany(
                "INSERT INTO bundles (model, epoch, runs, size, message) VALUES ('round', ?, ?, ?, ?)", rows
            )
            account_for(spool, count)


def account_for(spool: sqlite3.Connection, count: int) -> None:
    """Has the stream's one account say that so many frames were taken."""
    (account,) = spool.execute("SELECT account FROM accounts").fetchone()
    account = json.loads(account) | {"received": count, "taken": count, "skipped": {}}
    spool.execute("UPDATE accounts SET account = ?", (json.dumps(account),))


def answer(millrace: str, folder: Path, first: int, count: int) -> None:
    """Puts rows of so many frames into the table, numbered from `first` on."""
    data = folder / "data"
    with closing(sqlite3.connect(data / "spool/gate.sqlite")) as spool, spool:
        (epoch,) = spool.execute("SELECT epoch FROM accounts").fetchone()
        account_for(spool, first + count)
    place = data / "table/detections/dt=2026-11-01/hour=00"
    place.mkdir(parents=True)
    for begin in range(first, first + count, FILED):
        seqs = range(begin, min(begin + FILED, first + count))
        known = {
            "stream": "gate",
            "epoch": epoch,
            "seq": seqs,
            "frame_id": [f"gate/{epoch:013}/{seq:010}" for seq in seqs],
            "media_time": [seq * 90_000 for seq in seqs],
            "captured_at": 1_793_491_200_000_000,
            "clock": "file",
            "model": "round",
            "model_version": "1",
            "status": "none",
            "detection": 0,
            "inferred_at": 1_793_491_200_000_000,
            "latency_ms": 0,
            "worker": "w",
        }
        alike = {name: one if isinstance(one, list | range) else [one] * len(seqs) for name, one in known.items()}
        columns = [pa.array(alike.get(field.name, [None] * len(seqs)), field.type) for field in SCHEMA]
        pq.write_table(pa.table(columns, schema=SCHEMA), place / f"part-{begin}.parquet", compression="zstd")
    subprocess.run([millrace, "repair"], cwd=folder, check=True, capture_output=True)


def audited(millrace: str, folder: Path) -> tuple[Message, float, float]:
    """What the audit says, the seconds and the largest MB of memory that it takes."""
    started = time.monotonic()
    used = folder / "used"
    command = [sys.executable, USED, used, millrace, "audit", "--json"]
    audit = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE)
    said = json.loads(audit.stdout)
    if audit.returncode != 0 or not said["closes"]:
        sys.exit(f"the audit does not close: {said}")
    _, most = used.read_text().split()
    return said, time.monotonic() - started, int(most) / 1_000


def main() -> None:
    millrace, folder = Path(sys.argv[1]).resolve().as_posix(), Path(sys.argv[2]).resolve()
    received(millrace, folder)
    count, rows = (int(os.environ.get(name, "1000000")) for name in ("FRAMES", "ROWS"))
    print("| frames in flight | rows | s | MB at most |\n|---|---|---|---|")
    report(millrace, folder, None)
    multiply(folder / "data", count)
    report(millrace, folder, (count, 0))
    answer(millrace, folder, count, rows)
    report(millrace, folder, (count, rows))


def report(millrace: str, folder: Path, expected: tuple[int, int] | None) -> None:
    """Prints a line of what an audit takes; of other figures than those it is told of it is the end."""
    said, seconds, most = audited(millrace, folder)
    equation = said["equations"][0]
    found = (equation["in_flight"], equation["delivered"])
    if expected not in (None, found):
        sys.exit(f"{found} frames are in flight and answered, not {expected}")
    print(f"| {found[0]:,} | {found[1]:,} | {seconds:.1f} | {most:.0f} |")


if __name__ == "__main__":
    main()
