# Inputs of every installation; sizes, bounds and days with defaults are in settings.tf.

variable "prefix" {
  description = "What all names begin with, as `[aws] prefix`. Names of buckets are the whole world's: choose one of your own."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.prefix))
    error_message = "The prefix has 1 to 32 of the characters a-z, 0-9 and -, the first and last no -."
  }
}

variable "vpc_id" {
  description = "The VPC in which tasks run. It has a way to the cameras and to AWS."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the tasks, private ones as a rule, one per availability zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "At least one subnet is needed."
  }
}

variable "assign_public_ip" {
  description = "Whether tasks get public addresses: for subnets without a NAT gateway or endpoints."
  type        = bool
  default     = false
}

variable "route_table_ids" {
  description = "Route tables of the subnets: they get a gateway endpoint for S3, which is free. Empty where there is one."
  type        = list(string)
  default     = []
}

variable "image" {
  description = "The image; IMAGE_TAG of the repository that is made here when null."
  type        = string
  default     = null
}

variable "image_tag" {
  description = "The image's tag in the repository that is made here. Tags cannot be moved: every build has its own."
  type        = string
}

variable "models" {
  description = <<-TEXT
    The models by name: a queue, dead letters and a service of workers each. `image` is for models that are built into
    an image of their own.
  TEXT
  type = map(object({
    cpu              = optional(number, 1024)
    memory           = optional(number, 2048)
    min_tasks        = optional(number, 1)
    max_tasks        = optional(number, 4)
    backlog_per_task = optional(number, 10)
    fifo             = optional(bool, false)
    spot             = optional(bool, false)
    image            = optional(string)
  }))

  validation {
    condition     = alltrue([for name in keys(var.models) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", name))])
    error_message = "A model's name is of A-Z, a-z, 0-9, -, _ and ., the first a letter or a digit."
  }

  validation {
    condition     = alltrue([for name in keys(var.models) : length(var.prefix) + length(name) <= 51])
    error_message = "Prefix and a model's name have 51 characters at most together: names of roles, PREFIX-infer-MODEL-start, have 64."
  }

  validation {
    condition     = alltrue([for name in keys(var.models) : name != "results" && !endswith(name, "-dead")])
    error_message = "No model is called results or …-dead: the queue would have the name of another one."
  }

  validation {
    condition     = length(distinct([for name in keys(var.models) : replace(name, ".", "_")])) == length(var.models)
    error_message = "Two models would share a queue: in queues' names a . is written as _."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : 1 <= model.min_tasks && model.min_tasks <= model.max_tasks])
    error_message = "A model has min_tasks of at least 1, and max_tasks not below it."
  }

  validation {
    condition     = alltrue([for model in values(var.models) : model.backlog_per_task > 0])
    error_message = "A model's backlog_per_task is above 0."
  }
}

variable "worker_config" {
  description = "Text of millrace.toml for the workers: a table `[models.NAME]` for each model, no streams."
  type        = string

  # "Task definition size limit: the maximum size, in KiB, of a task definition: 64", not adjustable:
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
  validation {
    condition     = length(base64encode(jsonencode(var.worker_config))) <= 43692
    error_message = "A task definition has 64 KiB at most, of which the text may take 32."
  }

  validation {
    condition     = length(regexall(local.written_password, var.worker_config)) == 0
    error_message = "A task definition is no place for a password: workers need none."
  }
}

variable "receivers" {
  description = <<-TEXT
    Sets of streams by name, one task each: the text of its millrace.toml (streams and models), the models that it
    defines (all when null), and the secrets that its "$${NAME}" are filled from, names to ARNs of Secrets Manager.
  TEXT
  type = map(object({
    config  = string
    models  = optional(list(string))
    secrets = optional(map(string), {})
    cpu     = optional(number, 1024)
    memory  = optional(number, 2048)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.receivers) : can(regex("^[a-z0-9-]{1,17}$", name))])
    error_message = "A receiver's name has 1 to 17 of the characters a-z, 0-9 and -."
  }

  validation {
    condition = alltrue([
      for receiver in values(var.receivers) :
      receiver.models == null ? true : length(setsubtract(receiver.models, keys(var.models))) == 0
    ])
    error_message = "A receiver's models are among those of the variable models."
  }

  validation {
    condition = alltrue([
      for receiver in values(var.receivers) : length(base64encode(jsonencode(receiver.config))) <= 43692
    ])
    error_message = "A task definition has 64 KiB at most, of which the text may take 32: spread the streams over more receivers."
  }

  validation {
    condition = alltrue([
      for receiver in values(var.receivers) : length(regexall(local.written_password, receiver.config)) == 0
    ])
    error_message = "A task definition is no place for a password: write \"$${NAME}\" in its stead, and its secret's ARN in secrets."
  }

  validation {
    condition = alltrue(flatten([
      for receiver in values(var.receivers) :
      [for arn in values(receiver.secrets) : can(regex("^arn:[^:]+:secretsmanager:", arn))]
    ]))
    error_message = "Secrets are given as ARNs of Secrets Manager: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, with :KEY:: for a key of a JSON secret."
  }
}

variable "secrets_key_arns" {
  description = "Keys of KMS that the secrets are encrypted with, when not with the account's own aws/secretsmanager."
  type        = list(string)
  default     = []
}

variable "camera_cidr_blocks" {
  description = "Where the cameras are."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.camera_cidr_blocks : can(cidrnetmask(block))])
    error_message = "Cameras' networks are written as 10.1.0.0/16."
  }
}

variable "camera_ports" {
  description = "The cameras' RTSP ports. RTP travels in the same connection (`transport = \"tcp\"`)."
  type        = set(number)
  default     = [554]
}

variable "alarm_actions" {
  description = "ARNs of SNS topics or other actions that alarms and their ends go to."
  type        = list(string)
  default     = []
}
