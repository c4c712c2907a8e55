variable "name" {
  description = "What the service is called, PREFIX-NAME."
  type        = string
}

variable "prefix" {
  description = "What all names begin with."
  type        = string
}

variable "cluster" {
  description = "ARN of the ECS cluster."
  type        = string
}

variable "image" {
  description = "The image of the programs."
  type        = string
}

variable "architecture" {
  description = "X86_64 or ARM64, as the image is."
  type        = string
}

variable "command" {
  description = "The program and its arguments."
  type        = list(string)
}

variable "config" {
  description = "Text of millrace.toml, without secrets."
  type        = string
}

variable "environment" {
  description = "Variables of the program."
  type        = map(string)
}

variable "secrets" {
  description = "Variables that come from Secrets Manager: their names and the secrets' ARNs."
  type        = map(string)
}

variable "secrets_key_arns" {
  description = "Keys that the secrets are encrypted with, when not with the account's own."
  type        = list(string)
}

variable "task_policy" {
  description = "What the program may do, a policy in JSON."
  type        = string
}

variable "cpu" {
  description = "CPU units, 1024 for one core."
  type        = number
}

variable "memory" {
  description = "MiB."
  type        = number
}

variable "tasks" {
  description = "How many tasks there are at first."
  type        = number
}

variable "spot" {
  description = "Whether the tasks run on spare capacity, which AWS takes back after two minutes' notice."
  type        = bool
}

variable "one_at_a_time" {
  description = "Whether the old task has to have ended before the new one starts."
  type        = bool
}

variable "stop_timeout" {
  description = "Seconds from SIGTERM to SIGKILL."
  type        = number
}

variable "spool" {
  description = "The EFS access point of the data folder; a volume that ends with the task when null."
  type = object({
    file_system_id  = string
    access_point_id = string
  })
  default = null
}

variable "subnet_ids" {
  description = "Where the tasks run."
  type        = list(string)
}

variable "security_group_id" {
  description = "Whom the tasks may talk to."
  type        = string
}

variable "assign_public_ip" {
  description = "Whether tasks get public addresses."
  type        = bool
}

variable "key_arn" {
  description = "The key for logs and settings."
  type        = string
}

variable "log_days" {
  description = "Days for which logs are kept."
  type        = number
}
