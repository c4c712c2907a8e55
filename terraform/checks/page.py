"""What docs/aws.md tells its reader to type: the operator's policy lets it, and the image is one that the tasks run.

Each function takes the applied resources, and gives what is wrong in words.
"""

import json
import re

from promises import of_type
from starts import managed

# Terraform, kubectl and Docker's own commands ask nothing that the operator's policy is about.
COMMAND = re.compile(r"\b(aws [a-z-]+ [a-z-]+|(?<!--namespace )millrace [a-z-]+|docker (?:build|push)\b)")
CODE = re.compile(r"```sh\n(.*?)```|`([^`\n]+)`", re.DOTALL)

START = {
    "s3:ListBucket",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "firehose:DescribeDeliveryStream",
}
ASK = {
    "athena:GetQueryExecution",
    "athena:GetQueryResults",
    "athena:GetWorkGroup",
    "athena:StartQueryExecution",
    "athena:StopQueryExecution",
    "glue:GetDatabase",
    "glue:GetTable",
    "s3:GetBucketLocation",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
}
KEY = {"kms:Decrypt", "kms:GenerateDataKey"}
LETTERS = {"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage", "sqs:SendMessage"}
# What each command calls. Those of `millrace` by the names of calls in their sources (aws/src, table/src).
CALLS: dict[str, set[str]] = {
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: "No permissions are required".
    "aws sts get-caller-identity": set(),
    "aws ecr get-login-password": {"ecr:GetAuthorizationToken"},
    "aws ecs describe-services": {"ecs:DescribeServices"},
    "aws ecs list-services": {"ecs:ListServices"},
    "aws ecs update-service": {"ecs:UpdateService"},
    "aws ecs wait": {"ecs:DescribeServices"},
    # awscli/customizations/logs/tail.py pages through FilterLogEvents.
    "aws logs tail": {"logs:FilterLogEvents"},
    "aws service-quotas list-service-quotas": {"servicequotas:ListServiceQuotas"},
    "docker build": set(),
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
    "docker push": {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    },
    "millrace audit": START | ASK | LETTERS | KEY,
    "millrace cost": ASK | KEY,
    "millrace dead-letters": START | LETTERS | KEY,
    "millrace infer": START
    | KEY
    | {
        "firehose:PutRecordBatch",
        "s3:GetObject",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    },
    "millrace probe": set(),
    "millrace query": ASK | KEY,
    "millrace receive": START | KEY | {"s3:PutObject", "sqs:SendMessage"},
    "millrace validate": set(),
}
# IAM's limit of a managed policy, without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LONGEST_POLICY = 6144
PLATFORMS = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}


def commands(page: str) -> set[str]:
    """The commands of a page's code, without their arguments."""
    code = " \n".join(block or span for block, span in CODE.findall(page))
    return {command for line in code.splitlines() for command in COMMAND.findall(line.partition(" # ")[0])}


def allowed(made: list[dict], page: str) -> list[str]:
    """The operator's policy has what the page's commands call, and is short enough for many models."""
    (policy,) = of_type(made, "aws_iam_policy")
    statements = json.loads(policy["policy"])["Statement"]
    actions = {action for statement in statements for action in statement["actions"]}
    found = []
    for command in sorted(commands(page)):
        if command not in CALLS:
            found.append(f"docs/aws.md: `{command}` is none of the commands whose calls are known")
        missing = CALLS.get(command, set()) - actions
        if missing:
            found.append(f"docs/aws.md: `{command}` calls {sorted(missing)}, which the operator's policy does not have")
    document = {"Version": "2012-10-17", "Statement": [as_iam(statement) for statement in statements]}
    length = len(json.dumps(document, separators=(",", ":")))
    if length > LONGEST_POLICY:
        found.append(f"the operator's policy has {length} characters, IAM takes {LONGEST_POLICY}")
    return found


def as_iam(statement: dict) -> dict:
    """A statement as IAM is given it."""
    return {
        "Sid": statement["sid"],
        "Effect": "Allow",
        "Action": statement["actions"],
        "Resource": statement["resources"],
    }


def platform(made: list[dict], page: str) -> list[str]:
    """The page builds the image for the architecture that the tasks are told to have, whatever machine builds it."""
    architectures = {
        runtime["cpu_architecture"]
        for task in managed(made, "aws_ecs_task_definition")
        for runtime in task["values"]["runtime_platform"]
    }
    wanted = {f"--platform {PLATFORMS[architecture]}" for architecture in architectures}
    builds = re.findall(r"^docker build .*$", page, re.MULTILINE)
    if not builds:
        return ["docs/aws.md: no docker build is found"]
    return [
        f"docs/aws.md: {build!r} builds for the machine that it runs on, {sorted(wanted)} is expected"
        for build in builds
        if not any(words in build for words in wanted)
    ]
