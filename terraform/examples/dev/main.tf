# The least that works: one camera, one model, a default VPC without a NAT gateway. `terraform destroy` leaves
# nothing that costs anything.

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
    tags = { project = var.prefix }
  }
}

variable "prefix" {
  description = "What all names begin with."
  type        = string
}

variable "image_tag" {
  description = "Tag of the pushed image."
  type        = string
}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

module "millrace" {
  source = "../.."

  prefix           = var.prefix
  image_tag        = var.image_tag
  vpc_id           = data.aws_vpc.default.id
  subnet_ids       = slice(sort(data.aws_subnets.default.ids), 0, 1)
  assign_public_ip = true

  # The synthetic scene needs no camera.
  models        = { shapes = { max_tasks = 2, spot = true } }
  worker_config = file("${path.module}/millrace.toml")
  receivers     = { scene = { config = file("${path.module}/millrace.toml"), cpu = 512, memory = 1024 } }

  frames_days             = 4
  rows_days               = 30
  log_days                = 7
  delivery_buffer_seconds = 60
  force_destroy           = true
}

output "millrace_toml" {
  description = "The head of a millrace.toml for queries from here."
  value       = module.millrace.millrace_toml
}

output "repository_url" {
  description = "Where the image is pushed to."
  value       = module.millrace.repository_url
}
