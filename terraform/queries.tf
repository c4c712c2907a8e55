# SQL over the table: a workgroup whose queries cannot scan without end, and the project's named queries.

locals {
  queries_folder = "${path.module}/../table/sql/queries"
}

resource "aws_athena_workgroup" "this" {
  name          = local.workgroup
  description   = "Queries over ${local.database}.detections"
  force_destroy = var.force_destroy

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.query_scan_limit_bytes

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = "s3://${local.rows_bucket}/queries/"

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = aws_kms_key.this.arn
      }
    }
  }
}

resource "aws_athena_named_query" "this" {
  for_each = fileset(local.queries_folder, "*.sql")

  name        = trimsuffix(each.value, ".sql")
  description = trimprefix(split("\n", file("${local.queries_folder}/${each.value}"))[0], "-- ")
  workgroup   = aws_athena_workgroup.this.name
  database    = aws_glue_catalog_database.this.name
  query       = file("${local.queries_folder}/${each.value}")
}
