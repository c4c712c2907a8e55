"""Stands in for the AWS provider: Terraform validates, plans and applies against its schema, and nothing is made.

What the real provider would tell (ARNs, URLs) is made up, the same at every run. Speaks Terraform's plugin protocol 6
over a socket; Terraform finds it by the variable TF_REATTACH_PROVIDERS.
https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol
"""

import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack
from provider_schema import Archive, Block, Nested
from tf.gen import tfplugin_pb2 as protocol
from tf.gen import tfplugin_pb2_grpc as rpc

ADDRESS = "registry.terraform.io/hashicorp/aws"
UNKNOWN = msgpack.ExtType(0, b"\0")
NESTING = protocol.Schema.NestedBlock.NestingMode
MODES = {"list": NESTING.LIST, "set": NESTING.SET, "struct": NESTING.SINGLE}

ACCOUNT, REGION = "123456789012", "eu-central-1"
# What data sources answer, besides what the configuration asks for.
ANSWERS = {
    "aws_caller_identity": {"account_id": ACCOUNT},
    "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com"},
    "aws_region": {"region": REGION},
    "aws_subnets": {"ids": ["subnet-1", "subnet-2"]},
    "aws_vpc": {"id": "vpc-1", "cidr_block": "172.31.0.0/16"},
}


def wire_block(block: Block) -> protocol.Schema.Block:
    """A block as the protocol has it."""
    return protocol.Schema.Block(
        attributes=[
            protocol.Schema.Attribute(
                name=name,
                type=json.dumps(found.type).encode(),
                required=found.required,
                optional=not found.required,
                computed=not found.required,
            )
            for name, found in block.attributes.items()
        ],
        block_types=[wire_nested(name, nested) for name, nested in block.blocks.items()],
    )


def wire_nested(name: str, nested: Nested) -> protocol.Schema.NestedBlock:
    """A block in a block, with how many of it there may be."""
    listed = nested.nesting != "struct"
    return protocol.Schema.NestedBlock(
        type_name=name,
        block=wire_block(nested.block),
        nesting=MODES[nested.nesting],
        min_items=int(nested.required and listed),
        max_items=int(nested.single and listed),
    )


def unpack(value: protocol.DynamicValue) -> Any:  # noqa: ANN401 (any value of Terraform's)
    """A value of the protocol as Python's own types."""
    return msgpack.unpackb(value.msgpack, strict_map_key=False) if value.msgpack else None


def pack(value: Any) -> protocol.DynamicValue:  # noqa: ANN401
    """The reverse of `unpack`."""
    return protocol.DynamicValue(msgpack=msgpack.packb(value))


def made_up(type_name: str, attribute: str, state: dict) -> Any:  # noqa: ANN401
    """What the real provider would have answered for an attribute, more or less."""
    name = state.get("name") or state.get("bucket") or state.get("family") or state.get("name_prefix") or "made-up"
    service = type_name.removeprefix("aws_").split("_")[0]
    match attribute:
        case "id":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}" if type_name == "aws_sqs_queue" else name
        case "url":
            return f"https://{service}.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
        case "repository_url":
            return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}"
        case "json":
            return policy(state)
        case "arn" if service == "s3":
            return f"arn:aws:s3:::{name}"
        case "arn" if type_name == "aws_ecs_cluster":
            return f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}"
        case "arn":
            return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"
    return None


def policy(state: dict) -> str:
    """A policy document: its own statements after those of its sources."""
    sources = [json.loads(text)["Statement"] for text in state.get("source_policy_documents") or []]
    statements = [statement for source in [*sources, state.get("statement") or []] for statement in source]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class StandIn(rpc.ProviderServicer):
    """The provider: every method that `validate`, `plan` and `apply` call."""

    def __init__(self, archive: Archive, used: set[tuple[str, str]]) -> None:
        self.provider = archive.provider()
        self.schemas = {key: schema for key in used if (schema := archive.schema(*key))}
        # Asked for at every run of Terraform.
        self.answer = protocol.GetProviderSchema.Response(
            provider=protocol.Schema(block=wire_block(self.provider)),
            resource_schemas=self._wire("resource"),
            data_source_schemas=self._wire("data"),
        )

    def _wire(self, kind: str) -> dict[str, protocol.Schema]:
        return {
            name: protocol.Schema(block=wire_block(schema)) for (of, name), schema in self.schemas.items() if of == kind
        }

    def GetMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401, N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the schemas tell")

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        return self.answer

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        return protocol.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        return protocol.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        return protocol.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        return protocol.ConfigureProvider.Response()

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        planned = unpack(request.proposed_new_state)
        if planned is not None:
            for name in self._left_out(("resource", request.type_name), planned):
                planned[name] = UNKNOWN
        return protocol.PlanResourceChange.Response(planned_state=pack(planned), legacy_type_system=True)

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        state = unpack(request.planned_state)
        if state is not None:
            for name in [name for name, value in state.items() if value == UNKNOWN]:
                state[name] = made_up(request.type_name, name, {k: v for k, v in state.items() if v != UNKNOWN})
        return protocol.ApplyResourceChange.Response(new_state=pack(state), legacy_type_system=True)

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        state = unpack(request.config)
        answers = ANSWERS.get(request.type_name, {})
        for name in self._left_out(("data", request.type_name), state):
            state[name] = answers.get(name, made_up(request.type_name, name, state))
        return protocol.ReadDataSource.Response(state=pack(state))

    def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        return protocol.ReadResource.Response(new_state=request.current_state)

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        state = json.loads(request.raw_state.json)
        return protocol.UpgradeResourceState.Response(upgraded_state=pack(state))

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        return protocol.StopProvider.Response()

    def _left_out(self, key: tuple[str, str], state: dict) -> list[str]:
        """The attributes that the provider answers, not the configuration."""
        known = self.schemas[key].attributes
        return [
            name
            for name, value in state.items()
            if value is None and name in known
            if known[name].computed or name == "arn" or name in ANSWERS.get(key[1], {})
        ]


@contextmanager
def serve(archive: Archive, used: set[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Runs the stand-in, and gives the environment in which Terraform finds it."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    rpc.add_ProviderServicer_to_server(StandIn(archive, used), server)
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "provider.sock"
        server.add_insecure_port(f"unix://{socket}")
        server.start()
        where = {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "unix", "String": str(socket)},
        }
        try:
            yield os.environ | {"TF_REATTACH_PROVIDERS": json.dumps({ADDRESS: where})}
        finally:
            server.stop(grace=None).wait()
