# Frames' bytes; rows, what could not become a row, and the answers of queries.

locals {
  buckets = {
    frames = local.frames_bucket
    rows   = local.rows_bucket
  }
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Reads and writes are the programs' own; data events of CloudTrail tell more where somebody must know
  #checkov:skip=CKV_AWS_21:Keys are functions of the frame id or made by Firehose: nothing is overwritten, and versions would outlive their expiry
  #checkov:skip=CKV_AWS_144:A second region doubles the bill; replication is for whoever needs it to add
  #checkov:skip=CKV2_AWS_61:Both have one, below; checkov does not follow them through for_each
  #checkov:skip=CKV2_AWS_62:Nobody waits for an object: the message that names it comes through the queue
  for_each = local.buckets

  bucket        = each.value
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    # Without a bucket key every PUT and GET is a call to KMS too.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  policy = data.aws_iam_policy_document.bucket[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

data "aws_iam_policy_document" "bucket" {
  for_each = aws_s3_bucket.this

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "frames" {
  bucket = aws_s3_bucket.this["frames"].id

  rule {
    id     = "expire-frames"
    status = "Enabled"

    filter {}

    expiration {
      days = var.frames_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "rows" {
  bucket = aws_s3_bucket.this["rows"].id

  rule {
    id     = "abort-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = {
      "detections/" = var.rows_days
      "errors/"     = var.errors_days
      "queries/"    = var.query_results_days
    }

    content {
      id     = "expire-${trimsuffix(rule.key, "/")}"
      status = "Enabled"

      filter {
        prefix = rule.key
      }

      expiration {
        days = rule.value
      }
    }
  }
}
