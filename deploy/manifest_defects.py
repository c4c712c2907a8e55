"""Puts back what once kept pods on a new cluster from starting, in a copy: the check has to name each.

A check that no longer sees what it was made for says nothing, as one does that finds nothing wrong.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Defect:
    """A mistake: where it is made, what is sound and what is wrong, and words of the complaint that names it."""

    file: str
    sound: str
    wrong: str
    named: str


DEFECTS = [
    # A new EKS cluster has no default class: https://docs.aws.amazon.com/eks/latest/userguide/ebs-csi.html
    Defect(
        "base/receiver/stateful-set.yaml",
        "        storageClassName: millrace-spool\n",
        "",
        "names StorageClass '', which is not there",
    ),
    Defect(
        "README.md",
        "--addon-name aws-ebs-csi-driver",
        "--addon-name vpc-cni",
        "no command installs aws-ebs-csi-driver",
    ),
    # Variables such as MILLRACE_RECEIVER_SERVICE_HOST, in the names of keys:
    # https://kubernetes.io/docs/tutorials/services/connect-applications-service/#accessing-the-service
    Defect(
        "base/receiver/stateful-set.yaml",
        "      enableServiceLinks: false\n",
        "",
        "StatefulSet 'receiver' lets Kubernetes set variables for services",
    ),
    Defect(
        "base/worker/deployment.yaml",
        "      enableServiceLinks: false\n",
        "",
        "Deployment 'worker' lets Kubernetes set variables for services",
    ),
]


def put_back(root: Path) -> list[str]:
    """Makes all mistakes in a copy of the manifests; gives those that can no longer be made."""
    lost = []
    for defect in DEFECTS:
        path = root / defect.file
        text = path.read_text()
        if defect.sound not in text:
            lost.append(f"manifest_defects.py: {defect.file} no longer has {defect.sound!r}")
        path.write_text(text.replace(defect.sound, defect.wrong, 1))
    return lost


def unseen(found: list[str]) -> list[str]:
    """The mistakes that none of the complaints names."""
    return [
        f"manifest_defects.py: {defect.file} with a mistake put back is not found: no complaint has {defect.named!r}"
        for defect in DEFECTS
        if not any(defect.named in line for line in found)
    ]
