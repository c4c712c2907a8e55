# One ECS service on Fargate: receivers and workers differ in their inputs alone.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  full_name = "${var.prefix}-${var.name}"
  # As the image has them (Dockerfile).
  user          = "10001:10001"
  config_folder = "/etc/millrace"
  data_folder   = "/var/lib/millrace"
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:log_days is the operator's choice; rows and dead letters say for longer what became of a frame
  name              = "/millrace/${var.prefix}/${var.name}"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

resource "aws_ecs_service" "this" {
  #checkov:skip=CKV_AWS_333:Only where a VPC has neither NAT nor endpoints (examples/dev); the security group lets nobody in
  name                   = local.full_name
  cluster                = var.cluster
  task_definition        = aws_ecs_task_definition.this.arn
  desired_count          = var.tasks
  enable_execute_command = false
  propagate_tags         = "SERVICE"

  deployment_minimum_healthy_percent = var.one_at_a_time ? 0 : 100
  deployment_maximum_percent         = var.one_at_a_time ? 100 : 200

  # Three tasks that end before they are healthy, and the last deployment that was completed is back.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = var.assign_public_ip
  }

  lifecycle {
    # Scaling decides.
    ignore_changes = [desired_count]
  }

  # The task definition names the roles alone: without these, tasks start before they may do anything.
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]
}
