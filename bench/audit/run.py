#!/usr/bin/env python3
"""Audits a million frames in flight and prints what that takes, beside an audit of a few: run.py MILLRACE FOLDER

The files are Millrace's own: it receives a scene, and what it left in its spool and its queue is multiplied there.

    FRAMES=1000000   frames in flight, half of them in the spool and half in the queue
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
            (account,) = spool.execute("SELECT account FROM accounts").fetchone()
            account = json.loads(account) | {"received": count, "taken": count, "skipped": {}}
            spool.execute("UPDATE accounts SET account = ?", (json.dumps(account),))


def audited(millrace: str, folder: Path) -> tuple[Message, float, float]:
    """What the audit says, the seconds and the largest MB of memory that it takes."""
    started = time.monotonic()
    audit = subprocess.Popen([millrace, "audit", "--json"], cwd=folder, stdout=subprocess.PIPE)
    assert audit.stdout
    said = json.loads(audit.stdout.read())
    _, status, used = os.wait4(audit.pid, 0)
    audit.returncode = os.waitstatus_to_exitcode(status)
    if audit.returncode != 0 or not said["closes"]:
        sys.exit(f"the audit does not close: {said}")
    return said, time.monotonic() - started, used.ru_maxrss / 1_000


def main() -> None:
    millrace, folder = Path(sys.argv[1]).resolve().as_posix(), Path(sys.argv[2])
    received(millrace, folder)
    print("| frames in flight | s | MB at most |\n|---|---|---|")
    for count in (None, int(os.environ.get("FRAMES", "1000000"))):
        if count:
            multiply(folder / "data", count)
        said, seconds, most = audited(millrace, folder)
        in_flight = said["equations"][0]["in_flight"]
        if count and in_flight != count:
            sys.exit(f"{in_flight} frames are in flight, not {count}")
        print(f"| {in_flight:,} | {seconds:.1f} | {most:.0f} |")


if __name__ == "__main__":
    main()
