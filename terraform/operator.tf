# What `millrace query`, `audit`, `cost` and `dead-letters` need, for people; attach it to their roles.

resource "aws_iam_policy" "operator" {
  name        = "${var.prefix}-operator"
  description = "Questions to the table of ${var.prefix}, and what becomes of its dead letters"
  policy      = data.aws_iam_policy_document.operator.json
}

data "aws_iam_policy_document" "operator" {
  source_policy_documents = [data.aws_iam_policy_document.start.json]

  statement {
    sid = "Ask"
    actions = [
      "athena:GetNamedQuery",
      "athena:GetQueryExecution",
      "athena:GetQueryResults",
      "athena:GetWorkGroup",
      "athena:ListNamedQueries",
      "athena:StartQueryExecution",
      "athena:StopQueryExecution",
    ]
    resources = [aws_athena_workgroup.this.arn]
  }

  statement {
    sid     = "ReadTables"
    actions = ["glue:GetDatabase", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"]
    resources = concat(
      [local.catalog_arn, aws_glue_catalog_database.this.arn, aws_glue_catalog_table.detections.arn],
      values(aws_glue_catalog_table.view)[*].arn,
    )
  }

  statement {
    sid       = "SeeRows"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = [aws_s3_bucket.this["rows"].arn]
  }

  statement {
    sid     = "ReadRowsAndFrames"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.this["frames"].arn}/*",
      "${aws_s3_bucket.this["rows"].arn}/detections/*",
      "${aws_s3_bucket.this["rows"].arn}/queries/*",
    ]
  }

  statement {
    sid       = "KeepAnswers"
    actions   = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this["rows"].arn}/queries/*"]
  }

  statement {
    sid       = "LookAtDeadLetters"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = values(aws_sqs_queue.dead)[*].arn
  }

  statement {
    sid       = "ReplayDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = values(aws_sqs_queue.work)[*].arn
  }
}
