# One service for each model, with as many tasks as its backlog asks for.

module "worker" {
  source   = "./service"
  for_each = var.models

  name         = "infer-${local.model_slugs[each.key]}"
  prefix       = var.prefix
  cluster      = aws_ecs_cluster.this.arn
  image        = coalesce(each.value.image, local.image)
  architecture = var.architecture
  command      = ["model-inference", "--model", each.key]
  config       = var.worker_config
  environment = merge(
    local.environment,
    length(local.fifo_models) > 0 ? { MILLRACE_AWS__FIFO = join(",", local.fifo_models) } : {},
  )
  # No camera's password comes here.
  secrets          = {}
  secrets_key_arns = []
  task_policy      = data.aws_iam_policy_document.worker[each.key].json

  cpu           = each.value.cpu
  memory        = each.value.memory
  tasks         = each.value.min_tasks
  spot          = each.value.spot
  one_at_a_time = false
  stop_timeout  = var.stop_timeout

  subnet_ids        = var.subnet_ids
  security_group_id = aws_security_group.worker.id
  assign_public_ip  = var.assign_public_ip
  key_arn           = aws_kms_key.this.arn
  log_days          = var.log_days

  # A task that starts before it can reach AWS or find what it writes to fails.
  depends_on = [
    aws_ecs_cluster_capacity_providers.this,
    aws_kinesis_firehose_delivery_stream.detections,
    aws_vpc_endpoint.s3,
    aws_vpc_security_group_egress_rule.aws,
    aws_vpc_security_group_egress_rule.traces,
  ]
}

locals {
  # Services and roles take no "." in their names, as queues do not.
  model_slugs = { for model in keys(var.models) : model => replace(model, ".", "_") }
}

data "aws_iam_policy_document" "worker" {
  for_each = var.models

  source_policy_documents = [data.aws_iam_policy_document.start.json]

  statement {
    sid       = "GetFrames"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this["frames"].arn}/*"]
  }

  statement {
    sid       = "WorkOnBatches"
    actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.work[each.key].arn]
  }

  # Into its own queue, too: a batch that a stop gives back on its last receive is sent anew, or it would be a dead letter.
  statement {
    sid       = "GiveUpAnswerOrSendAnew"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead[each.key].arn, aws_sqs_queue.results.arn, aws_sqs_queue.work[each.key].arn]
  }

  statement {
    sid       = "DeliverRows"
    actions   = ["firehose:PutRecordBatch"]
    resources = [aws_kinesis_firehose_delivery_stream.detections.arn]
  }

  # While it holds leases, a worker asks not to be the one that scaling in ends (aws/src/task_protection.rs).
  statement {
    sid       = "ProtectOwnWork"
    actions   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task/${local.cluster}/*"]
  }
}

resource "aws_appautoscaling_target" "worker" {
  for_each = module.worker

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${local.cluster}/${each.value.name}"
  min_capacity       = var.models[each.key].min_tasks
  max_capacity       = var.models[each.key].max_tasks
}

# https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking-metric-math.html
resource "aws_appautoscaling_policy" "backlog" {
  for_each = aws_appautoscaling_target.worker

  name               = "backlog-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = each.value.service_namespace
  scalable_dimension = each.value.scalable_dimension
  resource_id        = each.value.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.models[each.key].backlog_per_task
    scale_out_cooldown = 30
    scale_in_cooldown  = 300

    customized_metric_specification {
      metrics {
        id          = "backlog_per_task"
        label       = "Messages that wait, per running task"
        expression  = "waiting / IF(running > 0, running, 1)"
        return_data = true
      }

      metrics {
        id          = "waiting"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesVisible"

            dimensions {
              name  = "QueueName"
              value = aws_sqs_queue.work[each.key].name
            }
          }
        }
      }

      metrics {
        id          = "running"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"

            dimensions {
              name  = "ClusterName"
              value = local.cluster
            }

            dimensions {
              name  = "ServiceName"
              value = module.worker[each.key].name
            }
          }
        }
      }
    }
  }
}
