# Who may talk to whom: everybody to AWS, receivers to cameras and to their spool, nobody to the tasks.

resource "aws_security_group" "worker" {
  #checkov:skip=CKV2_AWS_5:The service module takes it
  name        = "${var.prefix}-worker"
  description = "Workers of ${var.prefix}"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "receiver" {
  #checkov:skip=CKV2_AWS_5:The service module takes it
  name        = "${var.prefix}-receiver"
  description = "Receivers of ${var.prefix}"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "spool" {
  name        = "${var.prefix}-spool"
  description = "The receivers' spools of ${var.prefix}"
  vpc_id      = var.vpc_id
}

locals {
  task_groups = {
    receiver = aws_security_group.receiver.id
    worker   = aws_security_group.worker.id
  }
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  for_each = local.task_groups

  security_group_id = each.value
  description       = "S3, SQS, Firehose and the other endpoints of AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "cameras" {
  for_each = {
    for pair in setproduct(var.camera_cidr_blocks, var.camera_ports) :
    "${pair[0]} ${pair[1]}" => { cidr = pair[0], port = pair[1] }
  }

  security_group_id = aws_security_group.receiver.id
  description       = "RTSP over TCP"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "spool" {
  security_group_id            = aws_security_group.receiver.id
  description                  = "NFS"
  referenced_security_group_id = aws_security_group.spool.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_ingress_rule" "spool" {
  security_group_id            = aws_security_group.spool.id
  description                  = "NFS"
  referenced_security_group_id = aws_security_group.receiver.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_ingress_rule" "metrics" {
  for_each = {
    for pair in setproduct(keys(local.task_groups), var.metrics_cidr_blocks) :
    "${pair[0]} ${pair[1]}" => { role = pair[0], cidr = pair[1] }
  }

  security_group_id = local.task_groups[each.value.role]
  description       = "Prometheus"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = local.telemetry_port
  to_port           = local.telemetry_port
}

resource "aws_vpc_security_group_egress_rule" "traces" {
  for_each = var.traces == null ? {} : local.task_groups

  security_group_id = each.value
  description       = "Traces"
  cidr_ipv4         = var.traces.cidr_block
  ip_protocol       = "tcp"
  from_port         = tonumber(regex("[0-9]+$", var.traces.endpoint))
  to_port           = tonumber(regex("[0-9]+$", var.traces.endpoint))
}

# Frames through a NAT gateway would cost more than everything else together; through this they cost nothing.
resource "aws_vpc_endpoint" "s3" {
  count = length(var.route_table_ids) > 0 ? 1 : 0

  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids
}
