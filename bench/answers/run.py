#!/usr/bin/env python3
"""How long frames wait for their answers: two builds in turn, on the same stream.

A paced scene of ten frames a second, in bundles of ten, for a model that takes 100 ms on each of eight instances: one
instance's worth of work. What differs between builds is how the frames of one bundle share the instances.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

SITE = """\
[infer]
instances = 8
[streams.gate]
url = "scene:?seed=3&width=160&height=96&fps=10&seconds={seconds}"
paced = true
[models.slow]
algorithm = "sleep:100ms"
sample = {{ every = "100ms", pick = "exact", max_frames = 10, max_delay = "2s" }}
"""
QUESTION = "SELECT latency_ms FROM detections WHERE status = 'none'"


def latencies(program: Path, seconds: int) -> list[int]:
    """Milliseconds from capture to answer, of each frame."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "millrace.toml").write_text(SITE.format(seconds=seconds))
        subprocess.run([program, "up"], cwd=folder, check=True, capture_output=True)
        query = [program, "query", QUESTION, "--format", "json"]
        out = subprocess.run(query, cwd=folder, check=True, capture_output=True, text=True).stdout
    rows = json.loads(out) if out.startswith("[") else map(json.loads, out.splitlines())
    return [row["latency_ms"] for row in rows]


def main() -> None:
    """Measures each build in turn, and prints medians and the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    for _ in range(options.rounds):
        told = []
        for program in (options.before, options.after):
            found = latencies(program.resolve(), options.seconds)
            p99 = statistics.quantiles(found, n=100)[98]
            told.append((len(found), statistics.median(found), p99))
        (frames, p50, p99), (_, p50_after, p99_after) = told
        print(
            f"{frames} frames: p50 {p50:.0f} and {p50_after:.0f} ms ({p50_after / p50:.2f}), "
            f"p99 {p99:.0f} and {p99_after:.0f} ms ({p99_after / p99:.2f})"
        )


if __name__ == "__main__":
    main()
