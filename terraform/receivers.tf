# One service of one task for each set of streams. Streams are spread over sets by hand, or by the tool that writes
# the inputs: a stream has one receiver, and its spool stays with it.

module "receiver" {
  source   = "./service"
  for_each = var.receivers

  name         = "receive-${each.key}"
  prefix       = var.prefix
  cluster      = aws_ecs_cluster.this.arn
  image        = local.image
  architecture = var.architecture
  command      = ["receive-video"]
  config       = each.value.config
  environment = merge(
    local.environment,
    length(local.receiver_fifo[each.key]) > 0 ? { MILLRACE_AWS__FIFO = join(",", local.receiver_fifo[each.key]) } : {},
    var.send_results ? { MILLRACE_AWS__REPLY_QUEUE = local.results_queue } : {},
  )
  secrets          = each.value.secrets
  secrets_key_arns = var.secrets_key_arns
  task_policy      = data.aws_iam_policy_document.receiver[each.key].json

  cpu    = each.value.cpu
  memory = each.value.memory
  tasks  = 1
  spot   = false
  # Two tasks would fight for one spool.
  one_at_a_time = true
  stop_timeout  = var.stop_timeout
  spool = {
    file_system_id  = aws_efs_file_system.spool[0].id
    access_point_id = aws_efs_access_point.spool[each.key].id
  }

  subnet_ids        = var.subnet_ids
  security_group_id = aws_security_group.receiver.id
  assign_public_ip  = var.assign_public_ip
  key_arn           = aws_kms_key.this.arn
  log_days          = var.log_days

  # A task that starts before it can mount its spool, reach AWS or find what it writes to fails.
  depends_on = [
    aws_ecs_cluster_capacity_providers.this,
    aws_efs_mount_target.spool,
    aws_kinesis_firehose_delivery_stream.detections,
    aws_vpc_endpoint.s3,
    aws_vpc_security_group_egress_rule.aws,
    aws_vpc_security_group_egress_rule.cameras,
    aws_vpc_security_group_egress_rule.spool,
    aws_vpc_security_group_egress_rule.traces,
    aws_vpc_security_group_ingress_rule.spool,
  ]
}

locals {
  receiver_models = { for name, receiver in var.receivers : name => coalesce(receiver.models, keys(var.models)) }

  # The programs refuse a FIFO queue of a model that their file does not define.
  receiver_fifo = {
    for name, models in local.receiver_models : name => [for model in models : model if contains(local.fifo_models, model)]
  }
}

data "aws_iam_policy_document" "receiver" {
  for_each = local.receiver_models

  source_policy_documents = [data.aws_iam_policy_document.start.json]

  statement {
    sid       = "PutFrames"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["frames"].arn}/*"]
  }

  statement {
    sid       = "SendBatches"
    actions   = ["sqs:SendMessage"]
    resources = [for model in each.value : aws_sqs_queue.work[model].arn]
  }
}

# What both programs look at when they start, to refuse with a name rather than to fail later.
data "aws_iam_policy_document" "start" {
  statement {
    sid       = "SeeBucket"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this["frames"].arn]
  }

  statement {
    sid       = "SeeQueues"
    actions   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    resources = values(local.all_queues)[*].arn
  }

  statement {
    sid       = "SeeDelivery"
    actions   = ["firehose:DescribeDeliveryStream"]
    resources = [aws_kinesis_firehose_delivery_stream.detections.arn]
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]
  }
}
