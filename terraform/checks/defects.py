"""Puts back what once kept a first apply from working, in a copy: the checks have to name each.

A check that no longer sees what it was made for says nothing, as one does that finds nothing wrong.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Defect:
    """A mistake: where it is made, what is sound and what is wrong, and words of the complaints that name it."""

    file: str
    sound: str
    wrong: str
    named: tuple[str, ...]


SCENE = 'module.receiver["scene"].aws_ecs_service.this: may be made before module.millrace'
DEFECTS = [
    # https://github.com/hashicorp/terraform-provider-aws/issues/28517
    Defect(
        "terraform/views.tf",
        'ser_de_info {\n      name                  = "-"\n      serialization_library = "-"\n    }',
        "ser_de_info {}",
        ("storage_descriptor.ser_de_info: is empty", "view frames, library of its SerDe info"),
    ),
    # https://github.com/aws/aws-cdk/issues/18675
    Defect(
        "terraform/service/main.tf",
        "depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task]",
        "",
        (f"{SCENE}.module.receiver.aws_iam_role_policy.task", f"{SCENE}.module.receiver.aws_iam_role_policy.execution"),
    ),
    Defect(
        "terraform/receivers.tf",
        "    aws_kinesis_firehose_delivery_stream.detections,\n",
        "",
        (f"{SCENE}.aws_kinesis_firehose_delivery_stream.detections",),
    ),
    Defect(
        "terraform/receivers.tf",
        "    aws_vpc_security_group_egress_rule.aws,\n",
        "",
        (f"{SCENE}.aws_vpc_security_group_egress_rule.aws",),
    ),
    # https://github.com/aws/containers-roadmap/issues/859
    Defect(
        "terraform/service/task.tf",
        'environment            = [{ name = "CONFIG", value = var.config }]',
        'secrets = [{ name = "CONFIG", valueFrom = "arn:aws:ssm:eu-central-1:123456789012:parameter/millrace.toml" }]',
        ("CONFIG is a parameter", "no container has the variable CONFIG"),
    ),
    # https://github.com/hashicorp/terraform-provider-aws/issues/258
    Defect("terraform/service/task.tf", "skip_destroy = true", "", ("is deregistered when a new one is made",)),
    Defect(
        "terraform/operator.tf",
        '"ecs:DescribeServices", ',
        "",
        ("`aws ecs wait` calls ['ecs:DescribeServices']",),
    ),
    Defect("docs/aws.md", " --platform linux/amd64", "", ("builds for the machine that it runs on",)),
]


def put_back(root: Path) -> list[str]:
    """Makes all mistakes in a copy of the project; gives those that can no longer be made."""
    lost = []
    for defect in DEFECTS:
        path = root / defect.file
        text = path.read_text()
        if defect.sound not in text:
            lost.append(f"checks/defects.py: {defect.file} no longer has {defect.sound!r}")
        path.write_text(text.replace(defect.sound, defect.wrong, 1))
    return lost


def unseen(found: list[str]) -> list[str]:
    """The mistakes that none of the complaints names."""
    return [
        f"checks/defects.py: {defect.file} with a mistake put back is not found: no complaint has {words!r}"
        for defect in DEFECTS
        for words in defect.named
        if not any(words in line for line in found)
    ]
