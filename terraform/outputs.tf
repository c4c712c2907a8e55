output "millrace_toml" {
  description = "The head of a millrace.toml for what was made here; models in `fifo` have to be defined below it."
  value       = <<-TOML
    backend = "aws"

    [aws]
    ${join("\n", [for key, value in local.aws_table : "${key} = ${value}"])}
  TOML

  # Its value comes from inputs alone. An apply with -target keeps those outputs only that depend on a target, and the
  # walk of docs/aws.md reads this one after its first step.
  depends_on = [aws_athena_workgroup.this]
}

output "repository_url" {
  description = "Where the image is pushed to."
  value       = aws_ecr_repository.this.repository_url
}

output "image" {
  description = "The image that the services run."
  value       = local.image
}

output "cluster" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "services" {
  description = "Names of the ECS services."
  value       = local.services
}

output "log_groups" {
  description = "Names of the log groups."
  value = concat(
    values(module.receiver)[*].log_group,
    values(module.worker)[*].log_group,
    [aws_cloudwatch_log_group.delivery.name],
  )
}

output "queues" {
  description = "URLs of the models' queues, and of their dead letters."
  value = {
    for model, queue in aws_sqs_queue.work : model => { work = queue.url, dead = aws_sqs_queue.dead[model].url }
  }
}

output "results_queue" {
  description = "Name of the queue of results."
  value       = aws_sqs_queue.results.name
}

output "frames_bucket" {
  description = "Name of the bucket of frames."
  value       = local.frames_bucket
}

output "rows_bucket" {
  description = "Name of the bucket of rows."
  value       = local.rows_bucket
}

output "delivery_stream" {
  description = "Name of the delivery stream of rows."
  value       = aws_kinesis_firehose_delivery_stream.detections.name
}

output "database" {
  description = "Name of the database of the table `detections`."
  value       = aws_glue_catalog_database.this.name
}

output "workgroup" {
  description = "Name of Athena's workgroup."
  value       = aws_athena_workgroup.this.name
}

output "operator_policy_arn" {
  description = "The policy of people who query and look at dead letters."
  value       = aws_iam_policy.operator.arn
}

output "receiver_security_group_id" {
  description = "The receivers' security group, for cameras that let in groups rather than networks."
  value       = aws_security_group.receiver.id
}
