"""Athena's API over LocalStack's S3, which has none: what `millrace query` and `millrace audit` call.

    athena.py [--listen 127.0.0.1:4567] [--endpoint http://127.0.0.1:4566]

DuckDB answers the queries over the objects of the bucket PREFIX-rows; the database of a query names the prefix. The
protocol is AWS JSON 1.1 (https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html), the shapes are those of
https://docs.aws.amazon.com/athena/latest/APIReference/. Signatures are not checked, nothing is written to the output
location, and the scan counts whole objects.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from executions import Execution, Executions, RefusedError

MAX_RESULTS = 1_000


class Api:
    """One method for each action, from request to response."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    def StartQueryExecution(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Begins a query."""
        execution = self._executions.start(
            request["QueryString"],
            request.get("QueryExecutionContext", {}).get("Database", "default"),
            request.get("WorkGroup", "primary"),
            request.get("ResultConfiguration", {}).get("OutputLocation", "s3://workgroup/"),
        )
        return {"QueryExecutionId": execution.id}

    def GetQueryExecution(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Tells how far a query is."""
        return {"QueryExecution": described(self._executions.get(request["QueryExecutionId"]))}

    def GetQueryResults(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Gives one page of what a query found."""
        execution = self._executions.get(request["QueryExecutionId"])
        if execution.state != "SUCCEEDED":
            raise RefusedError(f"Query has not yet finished. Current state: {execution.state}")
        most = request.get("MaxResults", MAX_RESULTS)
        if not 1 <= most <= MAX_RESULTS:
            raise RefusedError(f"MaxResults is more than maximum allowed length {MAX_RESULTS}.")
        names: list[list[str | None]] = [] if execution.is_utility() else [[name for name, _ in execution.columns]]
        first = int(request.get("NextToken", 0))
        page = (names + execution.rows)[first : first + most]
        more = first + most < len(names) + len(execution.rows)
        return {"ResultSet": result_set(execution, page), "UpdateCount": 0} | (
            {"NextToken": str(first + most)} if more else {}
        )

    def StopQueryExecution(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Ends a query."""
        self._executions.stop(request["QueryExecutionId"])
        return {}

    def GetWorkGroup(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Tells of a workgroup."""
        self._executions.check_workgroup(request["WorkGroup"])
        return {"WorkGroup": {"Name": request["WorkGroup"], "State": "ENABLED", "Configuration": {}}}


def described(execution: Execution) -> dict[str, Any]:
    """A query as GetQueryExecution tells of it."""
    status: dict[str, Any] = {"State": execution.state, "SubmissionDateTime": execution.submitted}
    if execution.reason:
        status["StateChangeReason"] = execution.reason
    if execution.completed:
        status["CompletionDateTime"] = execution.completed
    if execution.state == "FAILED":
        # https://docs.aws.amazon.com/athena/latest/ug/error-reference.html: 2 is the user's
        status["AthenaError"] = {"ErrorCategory": 2, "ErrorType": 1006, "ErrorMessage": execution.reason}
    return {
        "QueryExecutionId": execution.id,
        "Query": execution.sql,
        "StatementType": "UTILITY" if execution.is_utility() else "DML",
        "ResultConfiguration": {"OutputLocation": f"{execution.output}{execution.id}.csv"},
        "QueryExecutionContext": {"Database": execution.database, "Catalog": "awsdatacatalog"},
        "WorkGroup": execution.workgroup,
        "Status": status,
        "Statistics": {"DataScannedInBytes": execution.scanned},
    }


def result_set(execution: Execution, page: list[list[str | None]]) -> dict[str, Any]:
    """Rows as GetQueryResults gives them: NULL is a value without text."""
    rows = [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in page]
    columns = [
        {"Name": name, "Label": name, "Type": kind, "CatalogName": "hive", "Nullable": "UNKNOWN"}
        for name, kind in execution.columns
    ]
    return {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": columns}}


class Handler(BaseHTTPRequestHandler):
    """HTTP around the API."""

    protocol_version = "HTTP/1.1"
    api: Api

    def do_GET(self) -> None:
        """Tells that the server is there."""
        self._send(200, {"services": {"athena": "running"}})

    def do_POST(self) -> None:
        """Answers one call."""
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        name = self.headers.get("X-Amz-Target", "").removeprefix("AmazonAthena.")
        action = getattr(self.api, name, None) if name[:1].isupper() else None
        try:
            if action is None:
                raise RefusedError(f"Unknown operation {name!r}")
            self._send(200, action(request))
        except RefusedError as error:
            refusal = {"__type": "InvalidRequestException", "Message": str(error), "message": str(error)}
            self._send(400, refusal | {"AthenaErrorCode": "MALFORMED_QUERY"})
        except Exception as error:
            self._send(500, {"__type": "InternalServerException", "message": repr(error)})
            raise

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keeps one line per call out of the log."""


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:4567", metavar="HOST:PORT")
    parser.add_argument("--endpoint", default="http://127.0.0.1:4566", help="where S3 is")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    Handler.api = Api(Executions(given.endpoint))
    with ThreadingHTTPServer((host, int(port)), Handler) as server:
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main()
