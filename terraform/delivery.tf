# Rows on their way: newline-delimited JSON in, Parquet out by the columns of the Glue table.

resource "aws_kinesis_firehose_delivery_stream" "detections" {
  name        = local.delivery_stream
  destination = "extended_s3"

  server_side_encryption {
    enabled  = true
    key_type = "CUSTOMER_MANAGED_CMK"
    key_arn  = aws_kms_key.this.arn
  }

  extended_s3_configuration {
    role_arn            = aws_iam_role.delivery.arn
    bucket_arn          = aws_s3_bucket.this["rows"].arn
    kms_key_arn         = aws_kms_key.this.arn
    prefix              = "${local.rows_prefix}dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"
    error_output_prefix = "errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/"
    buffering_interval  = var.delivery_buffer_seconds
    buffering_size      = var.delivery_buffer_mib

    data_format_conversion_configuration {
      # Its default for timestamps is `YYYY-MM-DD HH:MM:SS.ffffff`, the form in which the workers send them.
      # https://docs.aws.amazon.com/firehose/latest/APIReference/API_HiveJsonSerDe.html
      input_format_configuration {
        deserializer {
          hive_json_ser_de {}
        }
      }

      output_format_configuration {
        serializer {
          parquet_ser_de {
            compression = "SNAPPY"
          }
        }
      }

      schema_configuration {
        database_name = aws_glue_catalog_database.this.name
        table_name    = aws_glue_catalog_table.detections.name
        region        = local.region
        role_arn      = aws_iam_role.delivery.arn
      }
    }

    cloudwatch_logging_options {
      enabled         = true
      log_group_name  = aws_cloudwatch_log_group.delivery.name
      log_stream_name = aws_cloudwatch_log_stream.delivery.name
    }
  }

  # Firehose tries its role when the stream is made.
  depends_on = [aws_iam_role_policy.delivery]
}

resource "aws_cloudwatch_log_group" "delivery" {
  #checkov:skip=CKV_AWS_338:log_days is the operator's choice; what was not delivered lies in the bucket under errors/
  name              = "/millrace/${var.prefix}/delivery"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_cloudwatch_log_stream" "delivery" {
  name           = "s3"
  log_group_name = aws_cloudwatch_log_group.delivery.name
}

resource "aws_iam_role" "delivery" {
  name               = "${var.prefix}-delivery"
  assume_role_policy = data.aws_iam_policy_document.delivery_assumes.json
}

resource "aws_iam_role_policy" "delivery" {
  name   = "deliver"
  role   = aws_iam_role.delivery.id
  policy = data.aws_iam_policy_document.delivery.json
}

data "aws_iam_policy_document" "delivery_assumes" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["firehose.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

# https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3
data "aws_iam_policy_document" "delivery" {
  statement {
    sid       = "SeeBucket"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [aws_s3_bucket.this["rows"].arn]
  }

  statement {
    sid       = "WriteRows"
    actions   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    resources = [for prefix in ["detections", "errors"] : "${aws_s3_bucket.this["rows"].arn}/${prefix}/*"]
  }

  statement {
    sid     = "ReadColumns"
    actions = ["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"]
    resources = [
      local.catalog_arn,
      aws_glue_catalog_database.this.arn,
      aws_glue_catalog_table.detections.arn,
    ]
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.delivery.arn}:log-stream:*"]
  }
}

locals {
  catalog_arn = "arn:${local.partition}:glue:${local.region}:${local.account}:catalog"
}
