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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import check_schema
import defects
import page
import promises
import starts
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


@dataclass(frozen=True)
class Tools:
    """Terraform, where it finds the stand-in, the schemas, and the text of docs/aws.md."""

    program: str
    environment: dict[str, str]
    archive: Archive
    walk: str


def terraform(tools: Tools, folder: Path, *arguments: str) -> str:
    """Runs Terraform in a folder, and gives what it printed."""
    done = subprocess.run(
        [tools.program, arguments[0], "-no-color", *arguments[1:]],
        cwd=folder,
        env=tools.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RefusedError(f"terraform {arguments[0]} in {folder.name}:\n{done.stdout[-4000:]}\n{done.stderr}")
    return done.stdout


def prepare(folder: Path, tools: Tools) -> None:
    """Gives an example its inputs, and looks whether it is well formed."""
    (folder / "terraform.tfvars.json").write_text(json.dumps(INPUTS[folder.name]))
    terraform(tools, folder, "init", "-input=false")
    terraform(tools, folder, "validate")


def apply(folder: Path, tools: Tools, targets: Sequence[str] = ()) -> tuple[list[dict], dict]:
    """Applies an example or only some targets of it, and gives the resources that there are then, and `[aws]`."""
    terraform(tools, folder, "apply", "-input=false", "-auto-approve", *targets)
    state = json.loads(terraform(tools, folder, "show", "-json"))["values"]
    config = tomllib.loads(terraform(tools, folder, "output", "-raw", "millrace_toml"))
    return resources(state["root_module"]), config["aws"]


def resources(module: dict) -> list[dict]:
    """The resources of a module and of those in it."""
    inner = [found for child in module.get("child_modules", []) for found in resources(child)]
    return module.get("resources", []) + inner


def used(folder: Path) -> set[tuple[str, str]]:
    """The kinds of resources and data sources in a folder's files."""
    texts = [path.read_text() for path in folder.rglob("*.tf")]
    return {match for text in texts for match in re.findall(r'^(resource|data) "(\w+)"', text, re.MULTILINE)}


def complaints(made: list[dict], aws: dict, page_text: str) -> list[str]:
    """What is wrong with all that an example has made."""
    found = promises.names(made, aws) + promises.table(made) + promises.views(made) + promises.queries(made)
    found += starts.order(made) + starts.rollback(made) + starts.configurations(made)
    return found + page.allowed(made, page_text) + page.platform(made, page_text)


def check_walk(folder: Path, tools: Tools) -> list[str]:
    """What is wrong with what step 1 of docs/aws.md leaves to the programs of step 2."""
    step = tools.walk.partition("### 1.")[2].partition("### 2.")[0]
    targets = re.findall(r"-target=\S+", step)
    if not targets:
        return ["docs/aws.md, step 1: no -target is found"]
    made, aws = apply(folder, tools, targets)
    found = promises.names(made, aws) + promises.table(made) + promises.views(made)
    print(f"docs/aws.md, step 1: {len(made)} resources and data sources applied, {len(found)} complaints")
    return [f"docs/aws.md, step 1: {line}" for line in found]


def check_example(folder: Path, tools: Tools) -> list[str]:
    """What is wrong with what an example makes."""
    prepare(folder, tools)
    walked = check_walk(folder, tools) if folder.name == "dev" else []
    made, aws = apply(folder, tools)
    found = complaints(made, aws, tools.walk)
    print(f"example {folder.name}: {len(made)} resources and data sources applied, {len(found)} complaints")
    return walked + [f"example {folder.name}: {line}" for line in found]


def check_inputs(folder: Path, tools: Tools) -> list[str]:
    """Runs the tests of the inputs, which end with an error where one is taken that must not be."""
    terraform(tools, folder, "init", "-input=false")
    print(terraform(tools, folder, "test").strip().splitlines()[-1])
    return []


def check_defects(root: Path, tools: Tools) -> list[str]:
    """What the checks do not see in a copy with mistakes in it."""
    lost = defects.put_back(root)
    folder = root / "terraform" / "examples" / "dev"
    prepare(folder, tools)
    made, aws = apply(folder, tools)
    found = check_schema.check_folder(root / "terraform", tools.archive)[1]
    found += complaints(made, aws, (root / "docs" / "aws.md").read_text())
    unseen = defects.unseen(found)
    print(f"{len(defects.DEFECTS)} mistakes put back into a copy, {len(unseen)} not found")
    return lost + unseen


def copied(root: Path) -> Path:
    """A copy of what Terraform reads, beside which it may write; the module reads the project's SQL beside itself."""
    kept = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    for part in ("terraform", "table/sql"):
        shutil.copytree(ROOT / part, root / part, ignore=kept)
    (root / "docs").mkdir()
    shutil.copy(WALK, root / "docs")
    return root


def check_all(scratch: Path, archive: Archive, program: str) -> list[str]:
    """Does all of it side by side: each part has a folder of its own."""
    sound, wrong = copied(scratch / "sound"), copied(scratch / "wrong")
    module = sound / "terraform"
    parts = [partial(check_example, folder) for folder in sorted((module / "examples").iterdir())]
    parts += [partial(check_inputs, module), partial(check_defects, wrong)]
    with serve(archive, used(module)) as environment, ThreadPoolExecutor() as pool:
        tools = Tools(program, environment, archive, WALK.read_text())
        running = [pool.submit(part, tools) for part in parts]
        return [line for part in running for line in outcome(part)]


def outcome(part: Future[list[str]]) -> list[str]:
    """What a part has found, Terraform's refusal included."""
    try:
        return part.result()
    except RefusedError as refusal:
        return [str(refusal)]


def main() -> int:
    """Prints what is wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        found = check_all(Path(scratch), Archive(Path(sys.argv[1])), sys.argv[2])
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
