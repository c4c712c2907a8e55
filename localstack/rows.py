"""The table `detections` and its views in DuckDB, over the objects of a bucket of rows.

Each look at the bucket fetches what is new, by key and ETag, and forgets what is gone. Firehose writes
newline-delimited JSON in LocalStack and Parquet on AWS; both are read. What a Glue table with Athena does differently
from DuckDB is done here: `timestamp` has milliseconds
(https://docs.aws.amazon.com/athena/latest/ug/data-types.html).
"""

import re
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

PREFIX = "detections/"
PARTITION = re.compile(r"dt=(\d{4}-\d{2}-\d{2})/hour=(\d{2})/")
VIEWS = Path(__file__).resolve().parent.parent / "table" / "sql" / "views"
FETCHERS = 8
COLUMNS = {
    "stream": "VARCHAR",
    "epoch": "BIGINT",
    "seq": "BIGINT",
    "frame_id": "VARCHAR",
    "media_time": "BIGINT",
    "captured_at": "TIMESTAMP",
    "clock": "VARCHAR",
    "model": "VARCHAR",
    "model_version": "VARCHAR",
    "status": "VARCHAR",
    "reason": "VARCHAR",
    "detection": "INTEGER",
    "class_id": "INTEGER",
    "label": "VARCHAR",
    "score": "FLOAT",
    "x": "FLOAT",
    "y": "FLOAT",
    "w": "FLOAT",
    "h": "FLOAT",
    "track_id": "VARCHAR",
    "extra": "VARCHAR",
    "object_uri": "VARCHAR",
    "object_offset": "BIGINT",
    "object_len": "BIGINT",
    "inferred_at": "TIMESTAMP",
    "latency_ms": "BIGINT",
    "worker": "VARCHAR",
}


@dataclass(frozen=True)
class Listed:
    """An object as the bucket lists it."""

    key: str
    etag: str
    size: int
    modified: datetime

    def partition(self) -> tuple[str, str]:
        """Day and hour by the key, or by the time of delivery."""
        found = PARTITION.search(self.key)
        if found:
            return found[1], found[2]
        modified = self.modified.astimezone(UTC)
        return f"{modified:%Y-%m-%d}", f"{modified:%H}"


class RowsTable:
    """The rows of one bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:  # noqa: ANN401 (boto3 makes its classes at run time)
        self._s3 = s3
        self._bucket = bucket
        self._loaded: dict[str, Listed] = {}
        self._lock = threading.Lock()
        self._database = duckdb.connect(":memory:")
        define(self._database)

    def look(self) -> int:
        """Brings the table up to date with the bucket, and tells how many bytes it has."""
        with self._lock:
            listed = {entry.key: entry for entry in self._list()}
            fresh = [entry for key, entry in listed.items() if self._etag(key) != entry.etag]
            stale = [key for key in self._loaded if key not in listed] + [entry.key for entry in fresh]
            self._replace(stale, fresh)
            self._loaded = listed
            return sum(entry.size for entry in listed.values())

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection for one query."""
        return self._database.cursor()

    def _etag(self, key: str) -> str | None:
        return self._loaded[key].etag if key in self._loaded else None

    def _list(self) -> Iterable[Listed]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
        for page in pages:
            for entry in page.get("Contents", []):
                yield Listed(entry["Key"], entry["ETag"], entry["Size"], entry["LastModified"])

    def _replace(self, stale: list[str], fresh: list[Listed]) -> None:
        with ThreadPoolExecutor(FETCHERS) as fetchers, tempfile.TemporaryDirectory() as folder:
            bodies = list(fetchers.map(self._fetch, fresh))
            connection = self._database.cursor()
            connection.begin()
            try:
                connection.execute("DELETE FROM store.rows WHERE source IN (SELECT UNNEST(?))", [stale])
                load(connection, Path(folder), list(zip(fresh, bodies, strict=True)))
                connection.commit()
            except duckdb.Error:
                connection.rollback()
                raise

    def _fetch(self, entry: Listed) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=entry.key)["Body"].read()
        return body


def define(database: duckdb.DuckDBPyConnection) -> None:
    """Creates the table and the views."""
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    database.execute("SET TimeZone = 'UTC'")
    database.execute("CREATE SCHEMA store")
    database.execute(f"CREATE TABLE store.rows ({columns}, dt VARCHAR, hour VARCHAR, source VARCHAR)")
    database.execute("CREATE VIEW detections AS SELECT * EXCLUDE (source) FROM store.rows")
    for view in sorted(VIEWS.glob("*.sql")):
        database.execute(view.read_text())


def load(connection: duckdb.DuckDBPyConnection, folder: Path, objects: list[tuple[Listed, bytes]]) -> None:
    """Adds the rows of objects; `folder` is for what DuckDB has to find in files."""
    text = folder / "rows.json"
    with text.open("wb") as lines:
        for entry, body in objects:
            if not body.startswith(b"PAR1"):
                lines.writelines(with_partition(line, entry) for line in body.splitlines() if line.strip())
    add(
        connection, f"read_json('{text}', format = 'newline_delimited', columns = {json_columns()})", "dt, hour, source"
    )
    for number, (entry, body) in enumerate(objects):
        if body.startswith(b"PAR1"):
            file = folder / f"{number}.parquet"
            file.write_bytes(body)
            dt, hour = entry.partition()
            add(connection, f"read_parquet('{file}')", f"'{dt}', '{hour}', {quoted(entry.key)}")


def add(connection: duckdb.DuckDBPyConnection, rows: str, partition: str) -> None:
    """Adds rows with their partition and source."""
    columns = ", ".join(milliseconds(name) if kind == "TIMESTAMP" else name for name, kind in COLUMNS.items())
    connection.execute(f"INSERT INTO store.rows SELECT {columns}, {partition} FROM {rows}")


def milliseconds(column: str) -> str:
    """A timestamp as Athena reads it: rounded to milliseconds."""
    return f"make_timestamp((epoch_us({column}) + 500) // 1000 * 1000)"


def with_partition(line: bytes, entry: Listed) -> bytes:
    """A row's JSON object with its partition and source."""
    dt, hour = entry.partition()
    end = line.rstrip()
    if not end.endswith(b"}"):
        return end + b"\n"  # no row: DuckDB says what is wrong with it
    key = entry.key.replace("\\", "\\\\").replace('"', '\\"')
    return end[:-1] + f',"dt":"{dt}","hour":"{hour}","source":"{key}"}}\n'.encode()


def json_columns() -> str:
    """The columns of the JSON rows as DuckDB's struct of types."""
    columns = COLUMNS | {"dt": "VARCHAR", "hour": "VARCHAR", "source": "VARCHAR"}
    return "{" + ", ".join(f"{name}: '{kind}'" for name, kind in columns.items()) + "}"


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
