# One key encrypts everything at rest: objects, messages, rows, logs, settings, spools.

resource "aws_kms_key" "this" {
  description             = "${var.prefix}: frames, messages, rows, logs, settings and spools"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.prefix}"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:A key's policy that does not let the account's IAM manage it makes a key that nobody can manage
  #checkov:skip=CKV_AWS_111:As above; who may do what with the key is in the policies of the roles
  #checkov:skip=CKV_AWS_356:In a key's policy "*" is the key itself
  statement {
    sid       = "AccountDecides"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "LogsOfThisPrefix"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/millrace/${var.prefix}/*"]
    }
  }
}
