# What the commands of docs/aws.md call, for people; attach it to their roles. Terraform itself needs more than this.
# terraform/check compares the two.

resource "aws_iam_policy" "operator" {
  name        = "${var.prefix}-operator"
  description = "Questions to the table of ${var.prefix}, what becomes of its dead letters, and a look at its services"
  policy      = data.aws_iam_policy_document.operator.json
}

data "aws_iam_policy_document" "operator" {
  #checkov:skip=CKV_AWS_356:ecr:GetAuthorizationToken, ecs:ListServices and servicequotas:ListServiceQuotas know no resource
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

  # Athena looks at the database `default`, too.
  # https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html#full-access-to-default-db-per-region
  statement {
    sid     = "ReadTables"
    actions = ["glue:GetDatabase", "glue:GetPartitions", "glue:GetTable", "glue:GetTables"]
    resources = concat(
      [local.catalog_arn, "${trimsuffix(local.catalog_arn, ":catalog")}:database/default"],
      [aws_glue_catalog_database.this.arn, aws_glue_catalog_table.detections.arn],
      values(aws_glue_catalog_table.view)[*].arn,
    )
  }

  statement {
    sid       = "SeeBuckets"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = values(aws_s3_bucket.this)[*].arn
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

  # Dead letters are looked at and replayed. The work besides: `millrace receive` and `infer` run from a desk as well.
  # By the names' beginning: a policy has 6,144 characters, and each queue would take 70 of them several times.
  statement {
    sid = "WorkOnQueues"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sqs:ReceiveMessage",
      "sqs:SendMessage",
    ]
    resources = ["arn:${local.partition}:sqs:${local.region}:${local.account}:${var.prefix}-*"]
  }

  statement {
    sid       = "PutFrames"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["frames"].arn}/*"]
  }

  statement {
    sid       = "DeliverRows"
    actions   = ["firehose:DescribeDeliveryStream", "firehose:PutRecordBatch"]
    resources = [aws_kinesis_firehose_delivery_stream.detections.arn]
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }

  # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
  statement {
    sid = "PushImages"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [aws_ecr_repository.this.arn]
  }

  statement {
    sid       = "SeeAndRestartServices"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account}:service/${local.cluster}/*"]
  }

  statement {
    sid       = "ReadLogs"
    actions   = ["logs:FilterLogEvents"]
    resources = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/millrace/${var.prefix}/*"]
  }

  statement {
    sid       = "LogInAndList"
    actions   = ["ecr:GetAuthorizationToken", "ecs:ListServices", "servicequotas:ListServiceQuotas"]
    resources = ["*"]
  }
}
