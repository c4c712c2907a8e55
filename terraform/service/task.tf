# The task: a container that writes the configuration file and ends, then the program.
#
# The text of the file is the task definition's own, so that each revision has the text that it was made with. ECS can
# fetch no version of a parameter but the newest (https://github.com/aws/containers-roadmap/issues/859): a deployment
# that is rolled back because of its text would start with the same text.

resource "aws_ecs_task_definition" "this" {
  family                   = local.full_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.write_config, local.program])

  # A deregistered revision is none that a service may go back to.
  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html
  skip_destroy = true

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "config"
  }

  volume {
    name = "data"

    dynamic "efs_volume_configuration" {
      for_each = var.spool[*]

      content {
        file_system_id     = efs_volume_configuration.value.file_system_id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = efs_volume_configuration.value.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }
}

locals {
  config_file = "${local.config_folder}/millrace.toml"

  write_config = {
    name       = "config"
    image      = var.image
    essential  = false
    user       = "0:0"
    entryPoint = ["/bin/sh", "-c"]
    command    = ["printf %s \"$CONFIG\" > ${local.config_file}"]
    # It names secrets as "${NAME}" and has none itself.
    environment            = [{ name = "CONFIG", value = var.config }]
    mountPoints            = [{ sourceVolume = "config", containerPath = local.config_folder, readOnly = false }]
    readonlyRootFilesystem = true
    logConfiguration       = local.log
  }

  program = {
    name        = "millrace"
    image       = var.image
    essential   = true
    user        = local.user
    command     = var.command
    dependsOn   = [{ containerName = "config", condition = "SUCCESS" }]
    stopTimeout = var.stop_timeout
    environment = [for name, value in local.environment : { name = name, value = value }]
    secrets     = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    mountPoints = [
      { sourceVolume = "config", containerPath = local.config_folder, readOnly = true },
      { sourceVolume = "data", containerPath = local.data_folder, readOnly = false },
    ]
    healthCheck = {
      command  = ["CMD", "healthy", "/healthz"]
      interval = 15
      timeout  = 5
      retries  = 3
      # A start may wait for its permissions for 70 s.
      startPeriod = 90
    }
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    readonlyRootFilesystem = true
    logConfiguration       = local.log
  }

  environment = merge(var.environment, {
    MILLRACE_CONFIG = local.config_file
    MILLRACE_DATA   = local.data_folder
  })

  log = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = data.aws_region.current.region
      awslogs-stream-prefix = "task"
    }
  }
}
