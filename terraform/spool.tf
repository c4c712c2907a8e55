# The receivers' spools: frames that wait for store and queue. They have to outlive a task, so they lie on EFS.
#
# SQLite's write-ahead log wants all processes of a file on one machine. One task per receiver, stopped before the next
# one starts (receivers.tf), and the program's lock per stream see to that.

resource "aws_efs_file_system" "spool" {
  count = local.has_spool ? 1 : 0

  creation_token = "${var.prefix}-spool"
  encrypted      = true
  kms_key_id     = aws_kms_key.this.arn
  # Every frame passes through: elastic throughput would bill each GB, some 20 dollars a camera and month. Bursting
  # costs nothing and gives 1 MiB/s without end, 25 cameras at 40 kB/s (https://docs.aws.amazon.com/efs/latest/ug/performance.html).
  throughput_mode = "bursting"

  tags = { Name = "${var.prefix}-spool" }
}

locals {
  has_spool = length(var.receivers) > 0
  # The user of the image (Dockerfile).
  uid = 10001
}

resource "aws_efs_mount_target" "spool" {
  count = local.has_spool ? length(var.subnet_ids) : 0

  file_system_id  = aws_efs_file_system.spool[0].id
  subnet_id       = var.subnet_ids[count.index]
  security_groups = [aws_security_group.spool.id]
}

resource "aws_efs_access_point" "spool" {
  for_each = var.receivers

  file_system_id = aws_efs_file_system.spool[0].id

  posix_user {
    uid = local.uid
    gid = local.uid
  }

  root_directory {
    path = "/${each.key}"

    creation_info {
      owner_uid   = local.uid
      owner_gid   = local.uid
      permissions = "0750"
    }
  }

  tags = { Name = "${var.prefix}-${each.key}" }
}

resource "aws_efs_file_system_policy" "spool" {
  count = local.has_spool ? 1 : 0

  file_system_id = aws_efs_file_system.spool[0].id
  policy         = data.aws_iam_policy_document.spool[0].json
}

data "aws_iam_policy_document" "spool" {
  count = local.has_spool ? 1 : 0

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["*"]
    resources = [aws_efs_file_system.spool[0].arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # With a policy of its own, a file system lets in only whom it names.
  dynamic "statement" {
    for_each = aws_efs_access_point.spool

    content {
      sid       = "Receiver${replace(statement.key, "/[^0-9A-Za-z]/", "")}"
      actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
      resources = [aws_efs_file_system.spool[0].arn]

      principals {
        type        = "AWS"
        identifiers = [module.receiver[statement.key].task_role_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "elasticfilesystem:AccessPointArn"
        values   = [statement.value.arn]
      }
    }
  }
}
