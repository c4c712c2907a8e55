"""Asks DuckDB what another engine answered, and says where the two differ: answers.py TABLE VIEWS ANSWERS

TABLE holds Parquet files in a Hive layout, VIEWS the views in the order of their names, ANSWERS a NAME.sql and a
NAME.json of each question: an array of objects.
"""

import json
import math
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

# Athena's timestamps have no zone. Values of a partition are text, whatever they look like.
TABLE = """
CREATE VIEW detections AS
SELECT * REPLACE (CAST(captured_at AS TIMESTAMP) AS captured_at, CAST(inferred_at AS TIMESTAMP) AS inferred_at)
FROM read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false)
"""
# As Athena's: what has parts is no scalar, and a text that is no JSON has none.
JSON_EXTRACT_SCALAR = """
CREATE MACRO json_extract_scalar(json, path) AS
CASE WHEN json_valid(json) AND json_type(json, path) NOT IN ('OBJECT', 'ARRAY', 'NULL')
THEN json_extract_string(json, path) END
"""


def opened(table: Path, views: Path) -> duckdb.DuckDBPyConnection:
    """A database with the table and its views."""
    database = duckdb.connect(":memory:")
    database.execute("SET TimeZone = 'UTC'")
    database.execute(TABLE.format(files=table / "**" / "*.parquet"))
    database.execute(JSON_EXTRACT_SCALAR)
    for view in sorted(views.glob("*.sql")):
        database.execute(view.read_text())
    return database


def plain(value: Any) -> Any:  # noqa: ANN401 (whatever a query gives)
    """A value as JSON has it."""
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else value


def same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Compares two values; a 32-bit number has seven digits."""
    if isinstance(one, float) or isinstance(other, float):
        return None not in (one, other) and math.isclose(one, other, rel_tol=1e-6)
    return bool(one == other and isinstance(one, type(other)))


def difference(rows: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str | None:
    """Says where two answers differ first."""
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=False), start=1):
        if list(row) != list(wanted):
            return f"columns {list(row)}, expected {list(wanted)}"
        for name, value in row.items():
            if not same(value, wanted[name]):
                return f"row {number}, {name}: {value!r}, expected {wanted[name]!r}"
    return None if len(rows) == len(expected) else f"{len(rows)} rows, expected {len(expected)}"


def main() -> None:
    """Compares all answers of a folder."""
    table, views, answers = map(Path, sys.argv[1:])
    database = opened(table, views)
    questions = sorted(answers.glob("*.sql"))
    if not questions:
        sys.exit(f"no questions in {answers}")
    found = []
    for question in questions:
        cursor = database.execute(question.read_text())
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]
        differs = difference(rows, json.loads(question.with_suffix(".json").read_text()))
        if differs:
            found.append(f"{question.stem}: {differs}")
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
