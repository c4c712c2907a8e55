# Two sites' cameras, two models, private subnets; secrets and a topic for alarms that exist already.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }
}

provider "aws" {
  default_tags {
    tags = { project = "street-view", environment = "prod" }
  }
}

variable "network" {
  description = "The VPC, its private subnets with their route tables, and the cameras' networks."
  type = object({
    vpc_id             = string
    subnet_ids         = list(string)
    route_table_ids    = list(string)
    camera_cidr_blocks = list(string)
  })
}

variable "image_tag" {
  description = "Tag of the pushed image."
  type        = string
}

variable "camera_secret_arns" {
  description = "The sites' secrets, each JSON with a \"password\" in it."
  type        = object({ north = string, south = string })
}

variable "alarm_topic_arn" {
  description = "The SNS topic of those on duty."
  type        = string
}

module "millrace" {
  source = "../.."

  prefix    = "acme-millrace"
  image_tag = var.image_tag

  vpc_id             = var.network.vpc_id
  subnet_ids         = var.network.subnet_ids
  route_table_ids    = var.network.route_table_ids
  camera_cidr_blocks = var.network.camera_cidr_blocks
  camera_ports       = [554, 8554]

  models = {
    shapes  = { cpu = 2048, memory = 4096, min_tasks = 2, max_tasks = 40, spot = true }
    circles = { fifo = true, max_tasks = 10 }
  }
  worker_config = file("${path.module}/workers.toml")

  receivers = {
    north = {
      config  = file("${path.module}/north.toml")
      secrets = { CAMERA_PASSWORD = "${var.camera_secret_arns.north}:password::" }
      cpu     = 2048
      memory  = 4096
    }
    south = {
      config  = file("${path.module}/south.toml")
      models  = ["shapes"]
      secrets = { CAMERA_PASSWORD = "${var.camera_secret_arns.south}:password::" }
    }
  }

  send_results            = true
  traces                  = { endpoint = "http://otel.internal:4318", cidr_block = "10.0.0.0/16" }
  metrics_cidr_blocks     = ["10.0.0.0/16"]
  frames_days             = 90
  rows_days               = 730
  log_days                = 365
  delivery_buffer_seconds = 300
  query_scan_limit_bytes  = 107374182400
  stop_timeout            = 60
  alarm_actions           = [var.alarm_topic_arn]
}

output "millrace_toml" {
  description = "The head of a millrace.toml for queries from here."
  value       = module.millrace.millrace_toml
}

output "operator_policy_arn" {
  description = "The policy of people who query and look at dead letters."
  value       = module.millrace.operator_policy_arn
}
