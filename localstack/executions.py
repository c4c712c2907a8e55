"""Query executions: what Athena keeps of each query from its start to its results."""

import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import boto3
import duckdb
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import answers
from rows import RowsTable

KEPT = 1_000
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
# What Athena reports without a first row of column names.
UTILITY = ("SHOW", "DESCRIBE", "DESC")


class RefusedError(Exception):
    """A request that is wrong: Athena's InvalidRequestException."""


@dataclass
class Execution:
    """One query."""

    sql: str
    database: str
    workgroup: str
    output: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: str = "QUEUED"
    reason: str = ""
    scanned: int = 0
    submitted: float = field(default_factory=time.time)
    completed: float = 0.0
    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    cursor: duckdb.DuckDBPyConnection | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_utility(self) -> bool:
        """Tells whether the results come without a first row of column names."""
        return self.sql.lstrip("( \n\t").split(maxsplit=1)[0].upper() in UTILITY

    def turn(self, state: str, reason: str = "") -> bool:
        """Changes the state, unless the query ended; tells whether it did."""
        with self.lock:
            if self.state in ENDED:
                return False
            self.state, self.reason = state, reason
            if state in ENDED:
                self.completed = time.time()
            return True


class Executions:
    """All query executions, over the buckets of one S3 endpoint."""

    def __init__(self, endpoint: str) -> None:
        # A bucket in the host's name would not resolve on this machine.
        settings = Config(s3={"addressing_style": "path"}, max_pool_connections=32)
        self._s3 = boto3.client("s3", endpoint_url=endpoint, config=settings)
        self._tables: dict[str, RowsTable] = {}
        self._kept: OrderedDict[str, Execution] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, sql: str, database: str, workgroup: str, output: str) -> Execution:
        """Begins a query in a thread of its own."""
        self.check_workgroup(workgroup)
        try:
            statements = duckdb.extract_statements(sql)
        except duckdb.ParserException as error:
            raise RefusedError(answers.reason(error, database).removeprefix("SYNTAX_ERROR: ")) from error
        if len(statements) != 1:
            raise RefusedError("Only one sql statement is allowed. Got: " + sql)
        execution = Execution(sql, database, workgroup, output)
        with self._lock:
            self._kept[execution.id] = execution
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        threading.Thread(target=self._run, args=[execution], daemon=True).start()
        return execution

    def get(self, execution_id: str) -> Execution:
        """Finds a query by its id."""
        with self._lock:
            found = self._kept.get(execution_id)
        if found is None:
            raise RefusedError(f"QueryExecution {execution_id} was not found")
        return found

    def stop(self, execution_id: str) -> None:
        """Ends a query."""
        execution = self.get(execution_id)
        if execution.turn("CANCELLED", "Query cancelled by user") and execution.cursor:
            execution.cursor.interrupt()

    def check_workgroup(self, name: str) -> None:
        """Refuses a workgroup that nothing here is named after."""
        if name != "primary" and f"{name}-rows" not in self._buckets():
            raise RefusedError(f"WorkGroup {name} is not found.")

    def _buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]]

    def _table(self, database: str) -> RowsTable | None:
        """The table of a database: the bucket PREFIX-rows, where the database is PREFIX with `_` for `-`."""
        for bucket in self._buckets():
            if bucket.endswith("-rows") and bucket.removesuffix("-rows").replace("-", "_") == database:
                with self._lock:
                    if bucket not in self._tables:
                        self._tables[bucket] = RowsTable(self._s3, bucket)
                    return self._tables[bucket]
        return None

    def _run(self, execution: Execution) -> None:
        if not execution.turn("RUNNING"):
            return
        try:
            self._answer(execution)
        except duckdb.Error as error:
            execution.turn("FAILED", answers.reason(error, execution.database))
        except (BotoCoreError, ClientError) as error:
            execution.turn("FAILED", f"HIVE_CANNOT_OPEN_SPLIT: {error}")
        except Exception as error:
            execution.turn("FAILED", f"GENERIC_INTERNAL_ERROR: {error}")
            raise

    def _answer(self, execution: Execution) -> None:
        table = self._table(execution.database)
        if table is None:
            execution.turn("FAILED", f"SCHEMA_NOT_FOUND: line 1:1: Schema '{execution.database}' does not exist")
            return
        execution.cursor = cursor = table.cursor()
        reads = bool(cursor.get_table_names(execution.sql)) if not execution.is_utility() else False
        scanned = table.look()
        cursor.execute(execution.sql)
        execution.columns, execution.rows = results(cursor)
        execution.scanned = scanned if reads else 0
        execution.turn("SUCCEEDED")


def results(cursor: duckdb.DuckDBPyConnection) -> tuple[list[tuple[str, str]], list[list[str | None]]]:
    """Columns and rows of what a cursor found, as Athena writes them."""
    described: list[Any] = cursor.description or []
    kinds = [str(column[1]) for column in described]
    names = [answers.column_name(place, column[0]) for place, column in enumerate(described)]
    columns = [(name, answers.type_name(kind)) for name, kind in zip(names, kinds, strict=True)]
    rows = [[answers.text(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in cursor.fetchall()]
    return columns, rows
