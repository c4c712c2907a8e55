"""What a service's tasks need from the first second on, and what a deployment that fails goes back to.

Each function takes the applied resources, and gives what is wrong in words.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

RULES = ("aws_vpc_security_group_egress_rule", "aws_vpc_security_group_ingress_rule")
# Who may read the tasks' metrics may be told later.
LATER = ("metrics",)


def order(made: list[dict]) -> list[str]:
    """No service is made before what its tasks need: by the graph, in which a mere name of a role brings no policy."""
    return [
        f"{service['address']}: may be made before {need}, without which its tasks end at once: depends_on is missing"
        for service in managed(made, "aws_ecs_service")
        for need in sorted(set(needs(service, made)) - set(service.get("depends_on", [])))
    ]


def needs(service: dict, made: list[dict]) -> Iterator[str]:
    """The addresses of what the tasks of a service need, as the graph has them."""
    task = task_of(service, made)["values"]
    roles = {task["task_role_arn"], task["execution_role_arn"]}
    groups = set(service["values"]["network_configuration"][0]["security_groups"])
    for role in managed(made, "aws_iam_role"):
        if role["values"]["arn"] in roles:
            for policy in managed(made, "aws_iam_role_policy"):
                if policy["values"]["role"] == role["values"]["id"]:
                    yield in_graph(policy)
                    yield from in_policy(policy["values"]["policy"], made)
    for target in mount_targets(task, made):
        yield in_graph(target)
        groups |= set(target["values"]["security_groups"])
    for rule in managed(made, *RULES):
        if rule["values"]["security_group_id"] in groups and rule["name"] not in LATER:
            yield in_graph(rule)
    # Where private subnets have it, the image's layers come through it.
    yield from (in_graph(endpoint) for endpoint in managed(made, "aws_vpc_endpoint"))


def in_policy(policy: str, made: list[dict]) -> Iterator[str]:
    """What a policy names by its ARN has to be there, too."""
    named = {arn for statement in json.loads(policy)["Statement"] for arn in statement["resources"]}
    for found in made:
        if found["mode"] == "managed" and found["values"].get("arn") in named:
            yield in_graph(found)


def mount_targets(task: dict, made: list[dict]) -> list[dict]:
    """The doors to the file systems that a task mounts."""
    systems = {system["file_system_id"] for volume in task["volume"] for system in volume["efs_volume_configuration"]}
    return [found for found in managed(made, "aws_efs_mount_target") if found["values"]["file_system_id"] in systems]


def rollback(made: list[dict]) -> list[str]:
    """What a deployment goes back to is as it was: the revision is kept, and the text of its configuration in it."""
    found = []
    for service in managed(made, "aws_ecs_service"):
        task = task_of(service, made)
        if not task["values"]["skip_destroy"]:
            found.append(f"{task['address']}: is deregistered when a new one is made, so that no rollback finds it")
        for container in containers(task):
            for secret in container.get("secrets", []):
                if ":ssm:" in secret["valueFrom"]:
                    found.append(
                        f"{task['address']}: {secret['name']} is a parameter, of which ECS reads the newest version: "
                        "a rollback would start with the text that failed"
                    )
    return found


def configurations(made: list[dict]) -> list[str]:
    """Each task writes a text for its program that is in its revision."""
    return [
        f"{task['address']}: no container has the variable CONFIG"
        for task in managed(made, "aws_ecs_task_definition")
        if not any(variables(container).get("CONFIG") for container in containers(task))
    ]


def containers(task: dict) -> list[dict]:
    """The containers of a task definition."""
    return json.loads(task["values"]["container_definitions"])


def variables(container: dict) -> dict[str, Any]:
    """The variables of a container."""
    return {variable["name"]: variable["value"] for variable in container.get("environment", [])}


def task_of(service: dict, made: list[dict]) -> dict:
    """The task definition of a service."""
    arn = service["values"]["task_definition"]
    return next(task for task in managed(made, "aws_ecs_task_definition") if task["values"]["arn"] == arn)


def managed(made: list[dict], *types: str) -> list[dict]:
    """The resources of some types."""
    return [found for found in made if found["mode"] == "managed" and found["type"] in types]


def in_graph(resource: dict) -> str:
    """A resource's address as the graph has it: without the keys of for_each and count."""
    return re.sub(r"\[[^]]*\]", "", resource["address"])
