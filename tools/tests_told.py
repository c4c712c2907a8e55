"""Runs tests with nextest, and prints which were skipped, and why: nextest shows nothing of tests that passed.

usage: python3 tools/tests_told.py cargo nextest run ARGUMENT...
The exit code is the command's. Reads the report that `.config/nextest.toml` asks for.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "nextest/default/junit.xml"
MARK = "skipped: "


def reasons(case: ElementTree.Element) -> set[str]:
    """Why a test did not run, or not all of it: what it printed in lines that begin with the mark."""
    printed = "\n".join(part.text or "" for part in case if part.tag in ("system-out", "system-err"))
    return {line.removeprefix(MARK) for line in printed.splitlines() if line.startswith(MARK)}


def tell() -> None:
    """Prints each reason with the tests that gave it."""
    skipped, tests = defaultdict(list), 0
    for suite in ElementTree.parse(REPORT).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            tests += 1
            for reason in reasons(case):
                skipped[reason].append(f"{suite.get('name')} {case.get('name')}")
    names = {name for named in skipped.values() for name in named}
    print(f"== skipped: {len(names)} of {tests} tests")
    for reason, named in sorted(skipped.items()):
        print(reason, *sorted(named), sep="\n    ")


def main() -> int:
    REPORT.unlink(missing_ok=True)
    status = subprocess.run(sys.argv[1:], check=False).returncode
    # There is none when nothing was built.
    if REPORT.exists():
        tell()
    return status


if __name__ == "__main__":
    sys.exit(main())
