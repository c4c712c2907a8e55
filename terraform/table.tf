# The table `detections` as Athena sees it, and as Firehose writes it.

locals {
  # services/src/delivery/columns.rs, in its order; terraform/check compares them with the schema of a row.
  columns = [
    { name = "stream", type = "string", comment = "the stream's id" },
    { name = "epoch", type = "bigint", comment = "the connection, UTC milliseconds at its start" },
    { name = "seq", type = "bigint", comment = "the access unit's number within the epoch" },
    { name = "frame_id", type = "string", comment = "stream/epoch/seq, zero-padded" },
    { name = "media_time", type = "bigint", comment = "90 kHz ticks since the epoch's start" },
    { name = "captured_at", type = "timestamp", comment = "capture time, UTC" },
    { name = "clock", type = "string", comment = "the clock that captured_at was read from: rtcp, arrival, file" },
    { name = "model", type = "string", comment = "the model's name" },
    { name = "model_version", type = "string", comment = "the model file's content hash, or the algorithm's version" },
    { name = "status", type = "string", comment = "ok, none, error" },
    { name = "reason", type = "string", comment = "why status is error" },
    { name = "detection", type = "int", comment = "the detection's index in the frame, from 0" },
    { name = "class_id", type = "int", comment = "the class's index in the model's labels" },
    { name = "label", type = "string", comment = "the class's name" },
    { name = "score", type = "float", comment = "the model's confidence, 0 to 1" },
    { name = "x", type = "float", comment = "left edge of the box, 0 to 1 of the picture's width" },
    { name = "y", type = "float", comment = "top edge of the box, 0 to 1 of the picture's height" },
    { name = "w", type = "float", comment = "width of the box, 0 to 1 of the picture's width" },
    { name = "h", type = "float", comment = "height of the box, 0 to 1 of the picture's height" },
    { name = "track_id", type = "string", comment = "the track that the detection belongs to" },
    { name = "extra", type = "string", comment = "JSON for what has no column: keypoints, mask" },
    { name = "object_uri", type = "string", comment = "where the frame's bytes are" },
    { name = "object_offset", type = "bigint", comment = "the frame's first byte within the object" },
    { name = "object_len", type = "bigint", comment = "the frame's length in bytes" },
    { name = "inferred_at", type = "timestamp", comment = "when the answer was ready, UTC" },
    { name = "latency_ms", type = "bigint", comment = "milliseconds from captured_at to inferred_at" },
    { name = "worker", type = "string", comment = "the worker that answered" },
  ]

  partitions = [
    { name = "dt", type = "string", comment = "day of delivery, UTC, YYYY-MM-DD" },
    { name = "hour", type = "string", comment = "hour of delivery, UTC, two digits" },
  ]

  rows_prefix = "detections/"
  rows_uri    = "s3://${local.rows_bucket}/${local.rows_prefix}"
}

resource "aws_glue_catalog_database" "this" {
  name        = local.database
  description = "What models saw in the streams of ${var.prefix}"
}

resource "aws_glue_catalog_table" "detections" {
  name          = "detections"
  description   = "One row per detection; a frame in which nothing was found is one row too"
  database_name = aws_glue_catalog_database.this.name
  table_type    = "EXTERNAL_TABLE"

  # Partition projection: a new hour is there without a crawler or an ALTER TABLE.
  # https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
  parameters = {
    EXTERNAL                      = "TRUE"
    classification                = "parquet"
    "projection.enabled"          = "true"
    "projection.dt.type"          = "date"
    "projection.dt.format"        = "yyyy-MM-dd"
    "projection.dt.interval"      = "1"
    "projection.dt.interval.unit" = "DAYS"
    "projection.dt.range"         = "NOW-${var.rows_days}DAYS,NOW"
    "projection.hour.type"        = "integer"
    "projection.hour.range"       = "0,23"
    "projection.hour.digits"      = "2"
    "storage.location.template"   = "${local.rows_uri}dt=$${dt}/hour=$${hour}/"
  }

  storage_descriptor {
    location      = local.rows_uri
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = local.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }

  dynamic "partition_keys" {
    for_each = local.partitions

    content {
      name    = partition_keys.value.name
      type    = partition_keys.value.type
      comment = partition_keys.value.comment
    }
  }
}
