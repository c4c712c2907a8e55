"""Checks that no type gets the name of another crate's: one word for one thing.

usage: python3 tools/check_names.py
Exit code 0 when each name that two crates declare is one of SHOWN, or one of KEPT that at most one crate shows; else 1,
with one line per name that is not. Tests, examples and the crates that only test are left out.
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Names that two crates show, each with the reason why nobody takes the one for the other.
SHOWN = {
    "Format": "of a SQLite file, and of what a query prints: no crate uses both",
    "Gap": "a file of the table that cannot be read, and what the audit makes of it",
    "Kept": "boxes that a suppression keeps, and a line of a spool: their crates do not know each other",
    "Labels": "of a model's classes, and of a metric: written with their module where both are near",
    "Load": "what a camera costs, and how a model is loaded: their modules are named beside them",
    "Place": "where a value of the configuration stands, and whose state the audit could not read",
    "Reading": "what a manifest says of boxes, and a hold on the table's files: no crate uses both",
    "SourceError": "of a made-up camera's video, and of a source: tests alone know the former",
    "Span": "a length of time in the configuration, and a part of a trace: imported apart",
    "StatusBoard": "of the receiver, and of the workers: who knows both says whose",
    "StreamStatus": "of a stream in the receiver, and in the whole, which is made of it",
}

# Names that at most one crate shows, and others keep to a module of their own.
KEPT = """
    Answer Answered Arguments Camera Client Columns Conversation Decoder Due Entry Failure Fault Feed Head
    Held Key Lane Layout Lease Leases Limits Line Login Look Meter Open Pace Panicked Part Parts
    Patience Payload Planes Reply Report Run Seen Session Site Source State Step Sum Table Transport UdpPair Unfit Units
    Value Verdict View Walk Window Wish Written
""".split()  # noqa: SIM905

TEST_CRATES = {"bench", "e2e", "fuzz"}
DECLARED = re.compile(r"^(pub )?(?:pub\([^)]*\) )?(?:unsafe )?(?:struct|enum|trait|type) ([A-Z]\w*)", re.MULTILINE)
TEST_MODULE = re.compile(r"^#\[cfg\((?:all\()?test", re.MULTILINE)


def is_test(path: Path) -> bool:
    """Tells whether a file is compiled for tests alone."""
    return path.parts[0] in TEST_CRATES or bool({"tests", "examples"} & set(path.parts)) or path.stem.endswith("tests")


def declared() -> dict[str, list[tuple[Path, bool]]]:
    """The files that declare each name, and whether they show it to other crates."""
    names: dict[str, list[tuple[Path, bool]]] = defaultdict(list)
    listed = subprocess.check_output(["git", "ls-files", "*.rs"], cwd=ROOT, text=True).split()
    for path in map(Path, listed):
        if is_test(path) or not (ROOT / path).exists():
            continue
        text = TEST_MODULE.split((ROOT / path).read_text(), maxsplit=1)[0]
        for shown, name in DECLARED.findall(text):
            names[name].append((path, bool(shown)))
    return names


def main() -> int:
    """Prints the names that stand for two things."""
    wrong = 0
    for name, places in sorted(declared().items()):
        crates = {path.parts[0] for path, _ in places}
        showing = {path.parts[0] for path, shown in places if shown}
        if len(crates) > 1 and name not in SHOWN and (name not in KEPT or len(showing) > 1):
            print(f"{name} is declared in {', '.join(sorted(str(path) for path, _ in places))}: one word for one thing")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
