# A queue and its dead letters per model; one queue for results on their way to people's eyes.

locals {
  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
  largest_message_bytes = 1048576
  day_s                 = 86400
  # With fewer calls to KMS than the default of 300 s.
  data_key_s = 3600
}

resource "aws_sqs_queue" "work" {
  for_each = local.queues

  name                       = "${each.value.base}${each.value.end}"
  visibility_timeout_seconds = var.visibility_seconds
  message_retention_seconds  = var.message_days * local.day_s
  max_message_size           = local.largest_message_bytes

  fifo_queue            = each.value.fifo
  deduplication_scope   = each.value.fifo ? "messageGroup" : null
  fifo_throughput_limit = each.value.fifo ? "perMessageGroupId" : null

  kms_master_key_id                 = aws_kms_key.this.arn
  kms_data_key_reuse_period_seconds = local.data_key_s

  # The programs read the name of the dead letters here.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = var.max_receives
  })
}

resource "aws_sqs_queue" "dead" {
  for_each = local.queues

  name                       = "${each.value.base}-dead${each.value.end}"
  visibility_timeout_seconds = var.visibility_seconds
  message_retention_seconds  = var.dead_letter_days * local.day_s
  max_message_size           = local.largest_message_bytes
  fifo_queue                 = each.value.fifo

  kms_master_key_id                 = aws_kms_key.this.arn
  kms_data_key_reuse_period_seconds = local.data_key_s
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = aws_sqs_queue.dead

  queue_url = each.value.id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.work[each.key].arn]
  })
}

# A result that nobody fetched in five minutes is history: the table has it.
resource "aws_sqs_queue" "results" {
  name                      = local.results_queue
  message_retention_seconds = 300
  max_message_size          = local.largest_message_bytes

  kms_master_key_id                 = aws_kms_key.this.arn
  kms_data_key_reuse_period_seconds = local.data_key_s
}

locals {
  all_queues = merge(
    { for model, queue in aws_sqs_queue.work : "work ${model}" => queue },
    { for model, queue in aws_sqs_queue.dead : "dead ${model}" => queue },
    { results = aws_sqs_queue.results },
  )
}

resource "aws_sqs_queue_policy" "this" {
  for_each = local.all_queues

  queue_url = each.value.id
  policy    = data.aws_iam_policy_document.queue[each.key].json
}

data "aws_iam_policy_document" "queue" {
  for_each = local.all_queues

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value.arn]

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
