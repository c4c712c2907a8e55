# The names that the programs derive from `[aws] prefix` (services/src/config/schema.rs), once.

locals {
  frames_bucket   = coalesce(var.frames_bucket, "${var.prefix}-frames")
  rows_bucket     = coalesce(var.rows_bucket, "${var.prefix}-rows")
  delivery_stream = "${var.prefix}-detections"
  results_queue   = "${var.prefix}-results"
  database        = replace(var.prefix, "-", "_")
  workgroup       = var.prefix
  cluster         = var.prefix

  # SQS takes no other "." in a name than that of ".fifo".
  queues = {
    for model, settings in var.models : model => {
      base = "${var.prefix}-${replace(model, ".", "_")}"
      end  = settings.fifo ? ".fifo" : ""
      fifo = settings.fifo
    }
  }

  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  # The `[aws]` table of millrace.toml: what differs from the programs' defaults.
  aws_table = merge(
    { prefix = jsonencode(var.prefix) },
    var.frames_bucket == null ? {} : { bucket = jsonencode(var.frames_bucket) },
    length(local.fifo_models) == 0 ? {} : { fifo = jsonencode(local.fifo_models) },
    var.send_results ? { reply_queue = jsonencode(local.results_queue) } : {},
  )
  fifo_models = [for model, queue in local.queues : model if queue.fifo]

  # The same table as variables, which go before the file: a millrace.toml written for one machine runs here as it is.
  environment = merge(
    {
      AWS_REGION                   = local.region
      MILLRACE_BACKEND             = "aws"
      MILLRACE_AWS__PREFIX         = var.prefix
      MILLRACE_AWS__BUCKET         = local.frames_bucket
      MILLRACE_QUEUE__MAX_RECEIVES = tostring(var.max_receives)
      MILLRACE_INFER__LEASE        = "${var.visibility_seconds}s"
      MILLRACE_LOG                 = var.log_filter
      MILLRACE_LOG_FORMAT          = "json"
      MILLRACE_TELEMETRY__LISTEN   = "0.0.0.0:${local.telemetry_port}"
    },
    var.traces == null ? {} : { MILLRACE_TELEMETRY__OTLP = var.traces.endpoint },
  )
  telemetry_port = 9464

  # A password in the text of a millrace.toml, by its key or in a URL, that is not "${NAME}".
  written_password = "password[\"']?\\s*=\\s*[\"'](?:[^$\"']|\\$[^{])|://[^/@\"'\\s]*:(?:[^$/@\"'\\s]|\\$[^{])[^/@\"'\\s]*@"
}
