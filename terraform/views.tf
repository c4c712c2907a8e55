# The views of table/sql/views, as Athena keeps them: a Glue table with the query and its columns' types in it.
# https://docs.aws.amazon.com/athena/latest/ug/views-glue.html

locals {
  views_folder = "${path.module}/../table/sql/views"
  every_column = concat(local.columns, local.partitions)
  column_types = { for column in local.every_column : column.name => column.type }

  # The columns of each view in the order of its SELECT; terraform/check compares them with the SQL.
  views = {
    detections_unique = local.column_types
    frames            = merge(local.column_types, { detections = "bigint", max_score = "float" })
  }
  view_columns = {
    detections_unique = local.every_column[*].name
    frames = [
      "stream", "epoch", "seq", "frame_id", "media_time", "captured_at", "clock", "model", "model_version", "status",
      "reason", "detections", "max_score", "object_uri", "object_offset", "object_len", "inferred_at", "latency_ms",
      "worker", "dt", "hour",
    ]
  }

  # Hive's names of types on the left, those of Athena's engine on the right.
  engine_types = {
    bigint    = "bigint"
    float     = "real"
    int       = "integer"
    string    = "varchar"
    timestamp = "timestamp(3)"
  }

  # The file says `CREATE OR REPLACE VIEW name AS query`; Athena keeps the query alone.
  view_queries = {
    for view, types in local.views :
    view => trimspace(regex("(?s)CREATE OR REPLACE VIEW ${view} AS\\s(.*)", file("${local.views_folder}/${view}.sql"))[0])
  }
}

resource "aws_glue_catalog_table" "view" {
  for_each = local.views

  name          = each.key
  database_name = aws_glue_catalog_database.this.name
  table_type    = "VIRTUAL_VIEW"

  parameters = {
    comment     = "Presto View"
    presto_view = "true"
  }

  view_expanded_text = "/* Presto View */"
  view_original_text = "/* Presto View: ${base64encode(jsonencode({
    originalSql = local.view_queries[each.key]
    catalog     = "awsdatacatalog"
    schema      = local.database
    columns = [
      for name in local.view_columns[each.key] : { name = name, type = local.engine_types[each.value[name]] }
    ]
  }))} */"

  storage_descriptor {
    # Athena asks every table for it, a view too, and the provider sends no block that is empty.
    # https://github.com/hashicorp/terraform-provider-aws/issues/28517
    ser_de_info {
      name                  = "-"
      serialization_library = "-"
    }

    dynamic "columns" {
      for_each = local.view_columns[each.key]

      content {
        name = columns.value
        type = each.value[columns.value]
      }
    }
  }

  depends_on = [aws_glue_catalog_table.detections]
}
