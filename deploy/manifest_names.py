"""Names in rendered manifests that are those of nothing: accounts, config maps, targets, streams, models, queues.

And the other way round: pods to which Kubernetes gives variables of services, whose names may be those of keys.
"""

import tomllib
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
WORKLOADS = ("Deployment", "StatefulSet")


def loose_names(documents: list[Document]) -> Iterator[str]:
    """Every name that a document of an overlay uses and none of them defines."""
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    for document in documents:
        owner = f"{document['kind']} {document['metadata']['name']!r}"
        if has_service_links(document):
            yield f"{owner} lets Kubernetes set variables for services: enableServiceLinks is not false"
        for kind, name in uses(document):
            if (kind, name) not in names:
                yield f"{owner} names {kind} {name!r}, which is not there"
        if "selector" in document.get("spec", {}) and not selects(document, documents):
            yield f"{owner} selects no pods"
    yield from unknown_things(documents)


def has_service_links(document: Document) -> bool:
    """Whether Kubernetes sets variables for the services beside a workload's pods, as it does unless told otherwise."""
    workload = document["kind"] in WORKLOADS
    return workload and document["spec"]["template"]["spec"].get("enableServiceLinks") is not False


def uses(document: Document) -> Iterator[tuple[str, str]]:
    """The kinds and names that a document refers to; secrets are made elsewhere."""
    spec = document.get("spec", {})
    if document["kind"] == "ScaledObject":
        yield "Deployment", spec["scaleTargetRef"]["name"]
        yield from (("TriggerAuthentication", trigger["authenticationRef"]["name"]) for trigger in spec["triggers"])
    if document["kind"] == "StatefulSet":
        yield "Service", spec["serviceName"]
        claims = (claim["spec"] for claim in spec.get("volumeClaimTemplates", []))
        # Without a name it would be the cluster's default class, and a new EKS cluster has none.
        yield from (("StorageClass", claim.get("storageClassName", "")) for claim in claims)
    if document["kind"] in WORKLOADS:
        pod = spec["template"]["spec"]
        yield "ServiceAccount", pod["serviceAccountName"]
        yield from (("ConfigMap", volume["configMap"]["name"]) for volume in pod["volumes"] if "configMap" in volume)
        sources = (source for container in pod["containers"] for source in container.get("envFrom", []))
        yield from (("ConfigMap", source["configMapRef"]["name"]) for source in sources if "configMapRef" in source)


def selects(document: Document, documents: list[Document]) -> bool:
    """Whether a selector finds the pods of exactly one workload."""
    selector = document["spec"]["selector"]
    wanted = selector.get("matchLabels", selector).items()
    workloads = [other for other in documents if other["kind"] in WORKLOADS]
    found = [other for other in workloads if wanted <= other["spec"]["template"]["metadata"]["labels"].items()]
    return len(found) == 1


def unknown_things(documents: list[Document]) -> Iterator[str]:
    """Streams, models and queues that millrace.toml does not have; streams that no receiver, or more than one, has."""
    (config,) = (
        tomllib.loads(document["data"]["millrace.toml"])
        for document in documents
        if document["kind"] == "ConfigMap" and "millrace.toml" in document["data"]
    )
    sets = arguments(documents, "StatefulSet", "--stream=")
    received = [name for names in sets.values() for name in names or config["streams"]]
    if sorted(received) != sorted(config["streams"]):
        yield f"receivers receive {sorted(received)}, millrace.toml has {sorted(config['streams'])}"
    workers = arguments(documents, "Deployment", "--model=")
    asked = [name for names in workers.values() for name in names]
    if sorted(asked) != sorted(config["models"]):
        yield f"workers run {sorted(asked)}, millrace.toml has {sorted(config['models'])}"
    for document in documents:
        if document["kind"] == "ScaledObject":
            models = workers.get(document["spec"]["scaleTargetRef"]["name"], [])
            wanted = [queue_name(config, model) for model in models]
            found = [trigger["metadata"]["queueURL"].rpartition("/")[2] for trigger in document["spec"]["triggers"]]
            if found != wanted:
                yield f"workers of {models} are scaled on queues {found}, their own are {wanted}"


def arguments(documents: list[Document], kind: str, flag: str) -> dict[str, list[str]]:
    """The values of a flag by workload."""
    return {
        document["metadata"]["name"]: [
            argument.removeprefix(flag)
            for argument in document["spec"]["template"]["spec"]["containers"][0].get("args", [])
            if argument.startswith(flag)
        ]
        for document in documents
        if document["kind"] == kind
    }


def queue_name(config: Document, model: str) -> str:
    """A model's queue, as services/src/config/schema/aws.rs names it."""
    aws = config.get("aws", {})
    end = ".fifo" if model in aws.get("fifo", []) else ""
    return f"{aws.get('prefix', 'millrace')}-{model.replace('.', '_')}{end}"
