# What somebody has to be told. The README says what each alarm asks of the one who gets it.

locals {
  # Firehose's freshness is the age of its oldest row, which its buffer lets grow up to the interval.
  delivery_late_s = var.delivery_buffer_seconds + 600
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  for_each = aws_sqs_queue.work

  alarm_name          = "${var.prefix}-${local.model_slugs[each.key]}-oldest-message"
  alarm_description   = "Batches of model ${each.key} wait for longer than ${var.oldest_message_seconds} s: the workers do not keep up, or are away"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  threshold           = var.oldest_message_seconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = aws_sqs_queue.dead

  alarm_name          = "${var.prefix}-${local.model_slugs[each.key]}-dead-letters"
  alarm_description   = "Batches of model ${each.key} were given up: `millrace dead-letters` says why"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# Nothing at all comes for a model, from any stream.
resource "aws_cloudwatch_metric_alarm" "no_frames" {
  for_each = length(var.receivers) > 0 ? aws_sqs_queue.work : {}

  alarm_name          = "${var.prefix}-${local.model_slugs[each.key]}-no-frames"
  alarm_description   = "For ${var.no_frames_seconds} s no stream has sent a frame for model ${each.key}"
  namespace           = "AWS/SQS"
  metric_name         = "NumberOfMessagesSent"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = ceil(var.no_frames_seconds / 300)
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# A stream that is away is tried anew after a minute at most, and each failure is a line in the receiver's log that names
# the stream. Counted per receiver: a metric per stream costs more than the stream's storage.
resource "aws_cloudwatch_log_metric_filter" "stream_away" {
  for_each = module.receiver

  name           = "stream-away"
  log_group_name = each.value.log_group
  pattern        = "\"next try in\""

  metric_transformation {
    namespace     = local.metrics_namespace
    name          = "StreamFailures-${each.key}"
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "stream_away" {
  for_each = aws_cloudwatch_log_metric_filter.stream_away

  alarm_name          = "${var.prefix}-${each.key}-stream-away"
  alarm_description   = "For 6 minutes a stream of receiver ${each.key} has not come back: log group ${each.value.log_group_name} names it"
  namespace           = local.metrics_namespace
  metric_name         = "StreamFailures-${each.key}"
  statistic           = "Sum"
  period              = 120
  evaluation_periods  = 3
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

# A stream that is given up is one line, and no more until the receiver is started again.
resource "aws_cloudwatch_log_metric_filter" "stream_given_up" {
  for_each = module.receiver

  name           = "stream-given-up"
  log_group_name = each.value.log_group
  pattern        = "\"stream is given up\""

  metric_transformation {
    namespace     = local.metrics_namespace
    name          = "StreamsGivenUp-${each.key}"
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

# Its end says that the line is five minutes old and not that the stream is back, so nobody is told of it.
resource "aws_cloudwatch_metric_alarm" "stream_given_up" {
  for_each = aws_cloudwatch_log_metric_filter.stream_given_up

  alarm_name          = "${var.prefix}-${each.key}-stream-given-up"
  alarm_description   = "A stream of receiver ${each.key} was given up until somebody changes something and restarts the receiver: log group ${each.value.log_group_name} names it and why"
  namespace           = local.metrics_namespace
  metric_name         = "StreamsGivenUp-${each.key}"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "receiver_away" {
  for_each = module.receiver

  alarm_name          = "${var.prefix}-${each.key}-receiver-away"
  alarm_description   = "Receiver ${each.key} does not run: its streams send nothing"
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  dimensions          = { ClusterName = local.cluster, ServiceName = each.value.name }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 5
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}

locals {
  metrics_namespace = "Millrace/${var.prefix}"

  delivery_alarms = {
    late = {
      description = "Rows wait for longer than ${local.delivery_late_s} s: Firehose cannot write to the bucket, its log says why"
      metric      = "DeliveryToS3.DataFreshness"
      statistic   = "Maximum"
      threshold   = local.delivery_late_s
    }
    unconverted = {
      description = "Rows could not become Parquet: they lie in ${local.rows_bucket} under errors/"
      metric      = "FailedConversion.Records"
      statistic   = "Sum"
      threshold   = 0
    }
    throttled = {
      description = "Firehose throttles the workers: ask for a higher quota"
      metric      = "ThrottledRecords"
      statistic   = "Sum"
      threshold   = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "delivery" {
  for_each = local.delivery_alarms

  alarm_name          = "${var.prefix}-delivery-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/Firehose"
  metric_name         = each.value.metric
  dimensions          = { DeliveryStreamName = local.delivery_stream }
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
}
