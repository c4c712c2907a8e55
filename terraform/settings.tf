# Sizes, bounds and days, with the defaults that most installations keep.

variable "frames_bucket" {
  description = "The bucket of frames; PREFIX-frames when null."
  type        = string
  default     = null
}

variable "rows_bucket" {
  description = "The bucket of rows; PREFIX-rows when null."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` takes the contents of buckets, repository and workgroup along."
  type        = bool
  default     = false
}

variable "frames_days" {
  description = "Days for which the pictures behind the rows are kept, and so for how long a dead letter can be replayed."
  type        = number
  default     = 7

  validation {
    condition     = var.frames_days >= var.message_days
    error_message = "Frames are kept for message_days at least: a batch that waits for a worker would outlive them."
  }
}

variable "rows_days" {
  description = "Days for which rows are kept, and so how far back queries look."
  type        = number
  default     = 395

  validation {
    condition     = var.rows_days >= 1
    error_message = "Rows are kept for a day at least."
  }
}

variable "errors_days" {
  description = "Days for which records are kept that Firehose could not make into rows."
  type        = number
  default     = 30
}

variable "query_results_days" {
  description = "Days for which Athena's answers are kept."
  type        = number
  default     = 7
}

variable "visibility_seconds" {
  description = "Seconds for which a received batch is one worker's alone, unless it extends them; as `[infer] lease`."
  type        = number
  default     = 30

  validation {
    condition     = var.visibility_seconds >= 1 && var.visibility_seconds <= 43200
    error_message = "SQS hides a message for 43,200 s at most."
  }
}

variable "max_receives" {
  description = "Receives of a batch before it is a dead letter; as `[queue] max_receives`."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receives >= 1 && var.max_receives <= 1000
    error_message = "SQS takes 1 to 1,000."
  }
}

variable "message_days" {
  description = "Days for which a batch waits for a worker."
  type        = number
  default     = 4

  validation {
    condition     = var.message_days >= 1 && var.message_days <= 14
    error_message = "SQS keeps a message for 14 days at most."
  }
}

variable "dead_letter_days" {
  description = <<-TEXT
    Days for which dead letters are kept, counted from when the batch was given up; from when it was first sent, where
    its workers died and SQS gave it up itself (not so with FIFO). Once its frames are gone (frames_days) a letter still
    says why it was given up, but can no longer be replayed.
  TEXT
  type        = number
  default     = 14

  validation {
    condition     = var.dead_letter_days >= var.message_days && var.dead_letter_days <= 14
    error_message = "Dead letters are kept for message_days at least and for 14 days at most."
  }
}

variable "send_results" {
  description = "Whether results go to the queue PREFIX-results besides the table, for a live view."
  type        = bool
  default     = false
}

variable "delivery_buffer_seconds" {
  description = "Age of the oldest row in Firehose's buffer that makes a file due: the delay of queries."
  type        = number
  default     = 300

  validation {
    condition     = var.delivery_buffer_seconds >= 60 && var.delivery_buffer_seconds <= 900
    error_message = "Files come every 60 to 900 s: with less they would be too small to be read cheaply."
  }
}

variable "delivery_buffer_mib" {
  description = "MiB in Firehose's buffer that make a file due."
  type        = number
  default     = 128

  validation {
    condition     = var.delivery_buffer_mib >= 64 && var.delivery_buffer_mib <= 128
    error_message = "Firehose takes 64 to 128 MiB where it writes Parquet."
  }
}

variable "query_scan_limit_bytes" {
  description = "Bytes that one query may scan; past it Athena ends it."
  type        = number
  default     = 10737418240

  validation {
    condition     = var.query_scan_limit_bytes >= 10485760
    error_message = "Athena's least limit is 10 MiB."
  }
}

variable "architecture" {
  description = "The image's: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "Fargate knows ARM64 and X86_64."
  }
}

variable "kept_images" {
  description = "Images that the repository keeps."
  type        = number
  default     = 20
}

variable "stop_timeout" {
  description = "Seconds from SIGTERM to SIGKILL. The programs drain within 25."
  type        = number
  default     = 30

  validation {
    condition     = var.stop_timeout >= 30 && var.stop_timeout <= 120
    error_message = "30 to 120 s: the programs need 25, and Fargate waits for 120 at most."
  }
}

variable "log_filter" {
  description = "Which events are logged, as `info` or `warn,receive_video=debug`."
  type        = string
  default     = "info"
}

variable "log_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653], var.log_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827 or 3653 days."
  }
}

variable "traces" {
  description = "Where traces go by OTLP over HTTP, and the network that it is in: http://HOST:4318, 10.0.0.0/16. Nowhere when null."
  type = object({
    endpoint   = string
    cidr_block = string
  })
  default = null

  validation {
    condition     = var.traces == null ? true : can(regex("^http://[^/:]+:[0-9]+$", var.traces.endpoint))
    error_message = "The endpoint is written http://HOST:PORT: the programs send traces without TLS."
  }
}

variable "metrics_cidr_blocks" {
  description = "Networks from which Prometheus may read the tasks' metrics, port 9464."
  type        = list(string)
  default     = []
}

variable "oldest_message_seconds" {
  description = "Age of the oldest waiting batch that raises an alarm."
  type        = number
  default     = 300
}

variable "no_frames_seconds" {
  description = "Seconds without a frame for a model that raise an alarm: more than the longest `every` of its streams."
  type        = number
  default     = 600

  validation {
    condition     = var.no_frames_seconds >= 300 && var.no_frames_seconds <= 86400
    error_message = "CloudWatch counts messages by five minutes, and alarms look back for a day at most: 300 to 86,400 s."
  }
}
