# Two roles: the program's own, and that of ECS, which fetches image and secrets before the program starts.

data "aws_iam_policy_document" "ecs_assumes" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = [replace(var.cluster, "/:cluster/.*$/", ":*")]
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${local.full_name}-task"
  assume_role_policy = data.aws_iam_policy_document.ecs_assumes.json
}

resource "aws_iam_role_policy" "task" {
  name   = "work"
  role   = aws_iam_role.task.id
  policy = var.task_policy
}

resource "aws_iam_role" "execution" {
  name               = "${local.full_name}-start"
  assume_role_policy = data.aws_iam_policy_document.ecs_assumes.json
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

data "aws_iam_policy_document" "execution" {
  #checkov:skip=CKV_AWS_356:ecr:GetAuthorizationToken knows no resource
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = local.repository_arns

    content {
      sid       = "FetchImage"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:log-stream:*"]
  }

  dynamic "statement" {
    for_each = length(var.secrets_key_arns) > 0 ? [1] : []

    content {
      sid       = "UseKeysOfSecrets"
      actions   = ["kms:Decrypt"]
      resources = var.secrets_key_arns
    }
  }

  dynamic "statement" {
    for_each = length(local.secret_arns) > 0 ? [1] : []

    content {
      sid       = "ReadSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = local.secret_arns
    }
  }
}

locals {
  # None for an image from somewhere else than ECR.
  repository_arns = [
    for part in regexall("^(\\d+)\\.dkr\\.ecr\\.([a-z0-9-]+)\\.[^/]+/([^:@]+)", var.image) :
    "arn:${data.aws_partition.current.partition}:ecr:${part[1]}:${part[0]}:repository/${part[2]}"
  ]

  # A reference may go on with a JSON key, a stage and a version: ARN:KEY:STAGE:VERSION.
  secret_arns = distinct([for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, 7))])
}
