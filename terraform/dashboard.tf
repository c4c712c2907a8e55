# One page from the cameras to the table.

locals {
  # Title to metrics, each as CloudWatch's `[namespace, name, dimension, value, …]`; two widgets to a row.
  widgets = [
    {
      title = "Streams that fail or are given up (the receiver's log names them)"
      stat  = "Sum"
      metrics = [
        for pair in setproduct(["StreamFailures", "StreamsGivenUp"], keys(var.receivers)) :
        [local.metrics_namespace, "${pair[0]}-${pair[1]}"]
      ]
    },
    {
      title   = "Batches sent"
      stat    = "Sum"
      metrics = [for queue in values(aws_sqs_queue.work) : ["AWS/SQS", "NumberOfMessagesSent", "QueueName", queue.name]]
    },
    {
      title   = "Batches that wait"
      stat    = "Maximum"
      metrics = [for queue in values(aws_sqs_queue.work) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]]
    },
    {
      title   = "Age of the oldest batch, seconds"
      stat    = "Maximum"
      metrics = [for queue in values(aws_sqs_queue.work) : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.name]]
    },
    {
      title   = "Batches at work"
      stat    = "Maximum"
      metrics = [for queue in values(aws_sqs_queue.work) : ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", queue.name]]
    },
    {
      title   = "Dead letters"
      stat    = "Maximum"
      metrics = [for queue in values(aws_sqs_queue.dead) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]]
    },
    {
      title   = "Running tasks"
      stat    = "Average"
      metrics = [for name in local.services : ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", local.cluster, "ServiceName", name]]
    },
    {
      title   = "CPU, share of what is reserved"
      stat    = "Average"
      metrics = [for name in local.services : ["AWS/ECS", "CPUUtilization", "ClusterName", local.cluster, "ServiceName", name]]
    },
    {
      title = "Rows: records taken, failed conversions, throttled"
      stat  = "Sum"
      metrics = [
        for metric in ["IncomingRecords", "FailedConversion.Records", "ThrottledRecords"] :
        ["AWS/Firehose", metric, "DeliveryStreamName", local.delivery_stream]
      ]
    },
    {
      title   = "Age of the oldest row on its way, seconds"
      stat    = "Maximum"
      metrics = [["AWS/Firehose", "DeliveryToS3.DataFreshness", "DeliveryStreamName", local.delivery_stream]]
    },
    {
      title   = "Bytes scanned by queries"
      stat    = "Sum"
      metrics = [["AWS/Athena", "ProcessedBytes", "WorkGroup", local.workgroup]]
    },
    {
      title   = "Frames kept, bytes"
      stat    = "Average"
      metrics = [["AWS/S3", "BucketSizeBytes", "StorageType", "StandardStorage", "BucketName", local.frames_bucket]]
    },
  ]

  services = concat(values(module.receiver)[*].name, values(module.worker)[*].name)
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.prefix
  dashboard_body = jsonencode({
    widgets = [
      for place, widget in local.widgets : {
        type   = "metric"
        x      = place % 2 * 12
        y      = floor(place / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = widget.title
          region  = local.region
          view    = "timeSeries"
          stat    = widget.stat
          period  = 60
          metrics = widget.metrics
        }
      } if length(widget.metrics) > 0
    ]
  })
}
