"""How Athena says what DuckDB found: values as text, types by their names, errors with a code and a place."""

import re
import struct
from datetime import date, datetime
from typing import Any

import duckdb

# https://docs.aws.amazon.com/athena/latest/APIReference/API_ColumnInfo.html; REAL is reported as float.
TYPES = {
    "VARCHAR": "varchar",
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",  # DuckDB's sum of bigint, which is a bigint in Athena
    "UBIGINT": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}
PLACE = re.compile(r"^LINE (\d+): ", re.MULTILINE)
COLUMN = re.compile(r'column "([^"]+)" (?:that exists|not found)|Referenced column "([^"]+)"', re.IGNORECASE)
TABLE = re.compile(r"(?:Table|View) with name (\S+) does not exist")
FUNCTION = re.compile(r"Function with name (\S+) does not exist")


def type_name(kind: str) -> str:
    """Athena's name of a DuckDB type."""
    return "decimal" if kind.startswith("DECIMAL") else TYPES.get(kind, "varchar")


def column_name(place: int, name: str) -> str:
    """Athena's name of a column, which is its place where the query gives it none."""
    return name if name.isidentifier() else f"_col{place}"


def text(value: Any, kind: str) -> str | None:  # noqa: ANN401 (whatever a query gives)
    """A value as Athena writes it; none for NULL."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float():
            return real(value) if kind == "FLOAT" else double(value)
        case datetime():
            zone = " UTC" if value.tzinfo else ""
            return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03}{zone}"
        case date():
            return value.isoformat()
        case _:
            return str(value)


def double(value: float) -> str:
    """A double, in Java's words for what is no number."""
    words = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
    plain = repr(value)
    return words.get(plain, plain)


def real(value: float) -> str:
    """The shortest text that is the same 32-bit number."""
    for digits in range(1, 10):
        shown = float(f"{value:.{digits}g}")
        if struct.pack("f", shown) == struct.pack("f", value):
            return double(shown)
    return double(value)


def place(message: str) -> str:
    """Where DuckDB's caret points, as Athena says it: `line 1:8: `."""
    found = PLACE.search(message)
    if not found:
        return ""
    lines = message[found.start() :].splitlines()
    caret = lines[1].find("^") if len(lines) > 1 else -1
    return f"line {found[1]}:{max(caret - len(found[0]), 0) + 1}: "


def reason(error: duckdb.Error, database: str) -> str:
    """Why a query failed, as Athena's StateChangeReason says it."""
    message = str(error)
    at, plain = place(message), message.split("\n\n")[0].split(" Error: ", 1)[-1].splitlines()[0]
    if found := TABLE.search(message):
        return f"TABLE_NOT_FOUND: {at}Table 'awsdatacatalog.{database}.{found[1].rstrip('!')}' does not exist"
    if found := FUNCTION.search(message):
        return f"FUNCTION_NOT_FOUND: {at}Function '{found[1]}' not registered"
    if found := COLUMN.search(message):
        name = found[1] or found[2]
        return (
            f"COLUMN_NOT_FOUND: {at}Column '{name}' cannot be resolved "
            "or requester is not authorized to access requested resources"
        )
    if isinstance(error, duckdb.ParserException | duckdb.BinderException):
        return f"SYNTAX_ERROR: {at}{plain}"
    if isinstance(error, duckdb.InvalidInputException):
        return f"HIVE_BAD_DATA: {plain}"
    return f"GENERIC_USER_ERROR: {plain}"
