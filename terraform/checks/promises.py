"""What the resources promise to the rest of the project: names, columns, views, queries.

Each function takes the applied resources, and gives what is wrong in words.
"""

import base64
import importlib.util
import json
import re
from pathlib import Path
from typing import Any
from unittest import mock

import sqlglot
from sqlglot import expressions

ROOT = Path(__file__).resolve().parents[2]
SQL = ROOT / "table" / "sql"
# What a row's field is in the table, by the JSON Schema's `type` and `format`; times by the name of their definition.
COLUMN_TYPES = {
    ("string", None): "string",
    ("integer", "uint32"): "int",
    ("integer", "uint64"): "bigint",
    ("integer", "int64"): "bigint",
    ("number", "float"): "float",
}
PARTITIONS = [("dt", "string"), ("hour", "string")]


def of_type(made: list[dict], name: str) -> list[dict]:
    """The attributes of all resources of a type."""
    return [found["values"] for found in made if found["mode"] == "managed" and found["type"] == name]


def differences(what: str, here: Any, there: Any) -> list[str]:  # noqa: ANN401 (anything that compares)
    """A complaint when two things are not equal."""
    return [] if here == there else [f"{what}: {here} here, {there} there"]


def names(made: list[dict], aws: dict) -> list[str]:
    """Buckets, queues and delivery stream are those that localstack/ makes for the same `[aws]` table."""
    queues = {queue["name"]: queue for queue in of_type(made, "aws_sqs_queue")}
    models = [found["index"] for found in made if found["address"].startswith("module.millrace.aws_sqs_queue.work")]
    recorded = localstack(aws["prefix"], models, aws.get("fifo", []))
    here = {
        "buckets": sorted(bucket["bucket"] for bucket in of_type(made, "aws_s3_bucket")),
        "queues": sorted(queues),
        "delivery streams": [found["name"] for found in of_type(made, "aws_kinesis_firehose_delivery_stream")],
    }
    found = [line for what in here for line in differences(what, here[what], recorded[what])]
    for name, attributes in recorded["attributes"].items():
        found += differences(f"queue {name}", settings(queues.get(name, {}), attributes), attributes)
    return found


def settings(queue: dict, wanted: dict[str, Any]) -> dict[str, Any]:
    """Those of a queue's settings that localstack/ makes too, as it writes them."""
    redrive = json.loads(queue.get("redrive_policy") or "{}")
    redrive["deadLetterTargetArn"] = redrive.get("deadLetterTargetArn", "").split(":")[-1]
    ours = {
        "MessageRetentionPeriod": str(queue.get("message_retention_seconds")),
        "VisibilityTimeout": str(queue.get("visibility_timeout_seconds")),
        "RedrivePolicy": redrive,
    }
    return {name: ours[name] for name in wanted}


def localstack(prefix: str, models: list[str], fifo: list[str]) -> dict[str, Any]:
    """What localstack/resources.py would make, without a LocalStack."""
    spec = importlib.util.spec_from_file_location("resources", ROOT / "localstack" / "resources.py")
    resources = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(resources)
    attributes: dict[str, dict] = {}

    def create_queue(name: str, given: dict[str, str]) -> str:
        attributes[name] = {key: json.loads(value) if key == "RedrivePolicy" else value for key, value in given.items()}
        return name

    with (
        mock.patch.object(resources, "create_queue", create_queue),
        mock.patch.object(resources, "create_bucket") as buckets,
        mock.patch.object(resources, "create_delivery_stream") as streams,
    ):
        resources.create(prefix, models, fifo, max_receives=5)
    return {
        "buckets": sorted(call.args[0] for call in buckets.call_args_list),
        "queues": sorted(attributes),
        "delivery streams": [call.args[0] for call in streams.call_args_list],
        "attributes": attributes,
    }


def table(made: list[dict]) -> list[str]:
    """The columns of `detections` are the fields of a row, with their types.

    In what order does not matter: Firehose reads JSON by name, and Athena Parquet
    (https://docs.aws.amazon.com/athena/latest/ug/handling-schema-updates-chapter.html).
    """
    schema = json.loads((ROOT / "docs" / "schema" / "detection-row.v1.json").read_text())
    fields = [(name, column_type(field, schema["$defs"])) for name, field in schema["properties"].items()]
    detections = next(found for found in of_type(made, "aws_glue_catalog_table") if found["name"] == "detections")
    keys = [(key["name"], key["type"]) for key in detections["partition_keys"]]
    found = differences("columns of detections", sorted(columns(detections)), sorted(fields))
    return found + differences("partitions", keys, PARTITIONS)


def column_type(field: dict, definitions: dict) -> str:
    """The type that a field of a row has as a column."""
    name = field.get("$ref", "").split("/")[-1]
    if name == "CaptureTime":
        return "timestamp"
    field = definitions.get(name, field)
    types = field.get("type", "string")
    first = types if isinstance(types, str) else types[0]
    return COLUMN_TYPES[(first, field.get("format"))]


def columns(glue_table: dict) -> list[tuple[str, str]]:
    """The columns of a Glue table."""
    return [(column["name"], column["type"]) for column in glue_table["storage_descriptor"][0]["columns"]]


def views(made: list[dict]) -> list[str]:
    """The views are those of table/sql/views, with the columns that their SELECT has."""
    tables = {found["name"]: found for found in of_type(made, "aws_glue_catalog_table")}
    files = {path.stem: path.read_text() for path in (SQL / "views").glob("*.sql")}
    found = differences("views", sorted(set(tables) - {"detections"}), sorted(files))
    for name, text in files.items():
        if name in tables:
            found += view(tables[name], text)
    return found


def view(glue_table: dict, text: str) -> list[str]:
    """What Athena reads in a view is the file's query and its columns."""
    encoded = re.fullmatch(r"/\* Presto View: (\S+) \*/", glue_table["view_original_text"]).group(1)
    told = json.loads(base64.b64decode(encoded))
    wanted = sqlglot.parse_one(text, dialect="athena").find(expressions.Select)
    kept = sqlglot.parse_one(told["originalSql"], dialect="athena")
    what = f"view {glue_table['name']}"
    kept_columns = [name for name, _ in columns(glue_table)]
    library = [found["serialization_library"] for found in glue_table["storage_descriptor"][0]["ser_de_info"]]
    told_columns = [column["name"] for column in told["columns"]]
    return (
        differences(f"{what}, query", kept.sql(), wanted.sql())
        + differences(f"{what}, library of its SerDe info", library, ["-"])
        + differences(f"{what}, columns", kept_columns, wanted.named_selects)
        + differences(f"{what}, columns told to Athena", told_columns, wanted.named_selects)
    )


def queries(made: list[dict]) -> list[str]:
    """The named queries are the files of table/sql/queries."""
    ours = {query["name"]: query["query"] for query in of_type(made, "aws_athena_named_query")}
    files = {path.stem: path.read_text() for path in (SQL / "queries").glob("*.sql")}
    return differences("named queries", ours, files)
