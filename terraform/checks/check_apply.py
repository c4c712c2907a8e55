"""Applies the examples against a stand-in for AWS, and compares what they make with the rest of the project.

usage: check_apply.py ARCHIVE TERRAFORM
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

import promises
from provider_schema import Archive
from stand_in import serve

ROOT = Path(__file__).resolve().parents[2]
# From an empty account to a first answer, with the example `dev`.
WALK = ROOT / "docs" / "aws.md"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret"
NETWORK = {
    "vpc_id": "vpc-1",
    "subnet_ids": ["subnet-1", "subnet-2"],
    "route_table_ids": ["rtb-1"],
    "camera_cidr_blocks": ["10.1.0.0/16", "10.2.0.0/16"],
}
# What the examples ask their reader for.
INPUTS = {
    "dev": {"prefix": "check-dev", "image_tag": "1"},
    "prod": {
        "network": NETWORK,
        "image_tag": "1",
        "camera_secret_arns": {"north": f"{SECRET}:north-AbCdEf", "south": f"{SECRET}:south-AbCdEf"},
        "alarm_topic_arn": "arn:aws:sns:eu-central-1:123456789012:on-duty",
    },
}


class RefusedError(Exception):
    """Terraform's own words about what it did not take."""


def terraform(program: str, folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """Runs Terraform in a folder, and gives what it printed."""
    done = subprocess.run(
        [program, arguments[0], "-no-color", *arguments[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RefusedError(f"terraform {arguments[0]} in {folder.name}:\n{done.stdout[-4000:]}\n{done.stderr}")
    return done.stdout


def prepare(program: str, folder: Path, environment: dict[str, str], inputs: dict) -> None:
    """Gives an example its inputs, and looks whether it is well formed."""
    (folder / "terraform.tfvars.json").write_text(json.dumps(inputs))
    terraform(program, folder, environment, "init", "-input=false")
    terraform(program, folder, environment, "validate")


def apply(
    program: str, folder: Path, environment: dict[str, str], targets: Sequence[str] = ()
) -> tuple[list[dict], dict]:
    """Applies an example or only some targets of it, and gives the resources that there are then, and `[aws]`."""
    terraform(program, folder, environment, "apply", "-input=false", "-auto-approve", *targets)
    state = json.loads(terraform(program, folder, environment, "show", "-json"))["values"]
    config = tomllib.loads(terraform(program, folder, environment, "output", "-raw", "millrace_toml"))
    return resources(state["root_module"]), config["aws"]


def resources(module: dict) -> list[dict]:
    """The resources of a module and of those in it."""
    inner = [found for child in module.get("child_modules", []) for found in resources(child)]
    return module.get("resources", []) + inner


def used(folder: Path) -> set[tuple[str, str]]:
    """The kinds of resources and data sources in a folder's files."""
    texts = [path.read_text() for path in folder.rglob("*.tf")]
    return {match for text in texts for match in re.findall(r'^(resource|data) "(\w+)"', text, re.MULTILINE)}


def check_walk(program: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """What is wrong with what step 1 of docs/aws.md leaves to the programs of step 2."""
    step = WALK.read_text().partition("### 1.")[2].partition("### 2.")[0]
    targets = re.findall(r"-target=\S+", step)
    if not targets:
        return ["docs/aws.md, step 1: no -target is found"]
    made, aws = apply(program, folder, environment, targets)
    found = promises.names(made, aws) + promises.table(made) + promises.views(made)
    print(f"docs/aws.md, step 1: {len(made)} resources and data sources applied, {len(found)} complaints")
    return [f"docs/aws.md, step 1: {line}" for line in found]


def check_example(program: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """What is wrong with what an example makes."""
    prepare(program, folder, environment, INPUTS[folder.name])
    walked = check_walk(program, folder, environment) if folder.name == "dev" else []
    made, aws = apply(program, folder, environment)
    found = promises.names(made, aws) + promises.table(made) + promises.views(made) + promises.queries(made)
    print(f"example {folder.name}: {len(made)} resources and data sources applied, {len(found)} complaints")
    return walked + [f"example {folder.name}: {line}" for line in found]


def main() -> int:
    """Applies all examples, runs the tests of the inputs, and prints what is wrong."""
    archive, program = Archive(Path(sys.argv[1])), sys.argv[2]
    with tempfile.TemporaryDirectory() as scratch:
        # Terraform writes beside what it reads; the module reads the project's SQL beside itself.
        copy = Path(scratch) / "terraform"
        shutil.copytree(ROOT / "terraform", copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        shutil.copytree(ROOT / "table" / "sql", copy.parent / "table" / "sql")
        with serve(archive, used(copy)) as environment:
            try:
                found = [
                    line
                    for example in sorted((copy / "examples").iterdir())
                    for line in check_example(program, example, environment)
                ]
                terraform(program, copy, environment, "init", "-input=false")
                print(terraform(program, copy, environment, "test").strip().splitlines()[-1])
            except RefusedError as refusal:
                found = [str(refusal)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
