"""Creates what Terraform creates, under the same names, where it is missing: buckets, queues, delivery stream.

Region, credentials and endpoint are the SDK's own settings (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...). What is there
already is kept, and its settings are brought up to date.
"""

import argparse
import json
import os
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# LocalStack knows no `!{timestamp:...}` in prefixes, but puts the whole key through strftime.
DELIVERY_PREFIX = "detections/dt=%Y-%m-%d/hour=%H/"
ERROR_PREFIX = "errors/!{firehose:error-output-type}/"
DEAD_LETTER_SECONDS = 14 * 24 * 3_600


def client(service: str) -> Any:  # noqa: ANN401 (boto3 makes its classes at run time)
    """A client by the SDK's own settings."""
    return boto3.client(service, region_name=os.environ.get("AWS_REGION", "us-east-1"))


def create_bucket(name: str) -> None:
    """Creates a bucket."""
    try:
        client("s3").create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise


def create_queue(name: str, attributes: dict[str, str]) -> str:
    """Creates a queue or sets the attributes of the one that is there, and gives its ARN."""
    sqs = client("sqs")
    fixed = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    except sqs.exceptions.QueueDoesNotExist:
        url = sqs.create_queue(QueueName=name, Attributes=fixed | attributes)["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def create_work_queue(prefix: str, model: str, *, fifo: bool, max_receives: int) -> None:
    """Creates a model's queue and the queue of its dead letters."""
    # SQS takes no other '.' in a name than that of '.fifo'.
    base, end = f"{prefix}-{model.replace('.', '_')}", ".fifo" if fifo else ""
    dead = create_queue(f"{base}-dead{end}", {"MessageRetentionPeriod": str(DEAD_LETTER_SECONDS)})
    redrive = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": max_receives})
    create_queue(f"{base}{end}", {"RedrivePolicy": redrive, "VisibilityTimeout": "30"})


def create_delivery_stream(name: str, bucket: str) -> None:
    """Creates the delivery stream of rows into a bucket."""
    firehose = client("firehose")
    destination = {
        "RoleARN": f"arn:aws:iam::000000000000:role/{name}",
        "BucketARN": f"arn:aws:s3:::{bucket}",
        "Prefix": DELIVERY_PREFIX,
        "ErrorOutputPrefix": ERROR_PREFIX,
        # LocalStack describes what it was told and no defaults; the SDK for Rust needs these in a description.
        "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 60},
        "CompressionFormat": "UNCOMPRESSED",
        "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
    }
    try:
        firehose.create_delivery_stream(
            DeliveryStreamName=name, DeliveryStreamType="DirectPut", ExtendedS3DestinationConfiguration=destination
        )
    except firehose.exceptions.ResourceInUseException:
        return
    # LocalStack tells ACTIVE at once; AWS takes a minute, and there Terraform waits.


def create(prefix: str, models: list[str], fifo: list[str], max_receives: int) -> None:
    """Creates everything that one prefix names."""
    create_bucket(f"{prefix}-frames")
    create_bucket(f"{prefix}-rows")
    for model in models:
        create_work_queue(prefix, model, fifo=model in fifo, max_receives=max_receives)
    create_queue(f"{prefix}-results", {"MessageRetentionPeriod": "300"})
    create_delivery_stream(f"{prefix}-detections", f"{prefix}-rows")


def names(text: str) -> list[str]:
    """Reads a list of names, `a,b`."""
    return [name for name in text.split(",") if name]


def main() -> None:
    """Creates what the arguments name."""
    parser = argparse.ArgumentParser(prog="localstack/run resources", description=__doc__)
    parser.add_argument("--prefix", required=True, help="what all names begin with, as in [aws] of the configuration")
    parser.add_argument("--models", type=names, default=[], metavar="A,B", help="one work queue each")
    parser.add_argument("--fifo", type=names, default=[], metavar="B", help="those of them whose queue is FIFO")
    parser.add_argument("--max-receives", type=int, default=5, help="receives before a message is a dead letter")
    given = parser.parse_args()
    unknown = set(given.fifo) - set(given.models)
    if unknown:
        parser.error(f"--fifo names {', '.join(sorted(unknown))}, which --models does not")
    try:
        create(given.prefix, given.models, given.fifo, given.max_receives)
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"localstack: create resources of {given.prefix!r}: {error}")


if __name__ == "__main__":
    main()
