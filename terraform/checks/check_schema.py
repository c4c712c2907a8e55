"""Checks every .tf file against the AWS provider's schema: names that it does not know, what is missing, what is empty.

usage: check_schema.py ARCHIVE FOLDER
Needs no Terraform; with it, check_apply.py sees more.
"""

import sys
from pathlib import Path

import hcl2
from provider_schema import Archive, Block

META = {"count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "timeouts"}
# Most blocks in which nothing is set the provider reads as nil, and leaves out of the call: `if len(tfList) == 0 ||
# tfList[0] == nil { return nil }`, as in expandSerDeInfo of internal/service/glue/catalog_table.go. These are sent.
SENT_EMPTY = {
    # expandHiveJSONSerDe of internal/service/firehose/delivery_stream.go answers nil with an empty HiveJsonSerDe.
    "hive_json_ser_de",
    # The rule holds for all objects: the provider's page of aws_s3_bucket_lifecycle_configuration.
    "filter",
}


def plain(name: str) -> str:
    """A name without the quotes that the parser leaves on it."""
    return name.strip('"')


def contents(body: dict) -> dict[str, list | None]:
    """What a body sets: the bodies of each block in it, written or `dynamic`; None for what may be an attribute."""
    found: dict[str, list | None] = {}
    for name, value in body.items():
        if name == "dynamic":
            for entry in value:
                for block, inner in entry.items():
                    found[plain(block)] = inner["content"]
        elif not name.startswith("__"):
            blocks = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
            found[plain(name)] = value if blocks else None
    return found


def complaints(body: dict, schema: Block, path: str) -> list[str]:
    """What is wrong with a body, by the path of blocks that leads to it."""
    given = contents(body)
    found = []
    for name, inner in given.items():
        if name in schema.blocks and inner is not None:
            for block in inner:
                found += empty(name, block, f"{path}.{name}")
                found += complaints(block, schema.blocks[name].block, f"{path}.{name}")
        elif name not in schema.attributes and name not in schema.blocks and name not in META:
            found.append(f"{path}.{name}: the provider knows no such name")
    wanted = [name for name, attribute in schema.attributes.items() if attribute.required]
    wanted += [name for name, nested in schema.blocks.items() if nested.required]
    return found + [f"{path}.{name}: is missing" for name in wanted if name not in given]


def empty(name: str, block: dict, path: str) -> list[str]:
    """A complaint about a block that the provider would not send."""
    told = contents(block) or name in SENT_EMPTY
    return [] if told else [f"{path}: is empty, and the provider sends no such block"]


def check_file(path: Path, archive: Archive, root: Path) -> tuple[int, list[str]]:
    """How many resources and data sources a file has, and what is wrong with them."""
    with path.open() as file:
        document = hcl2.load(file)
    count, found = 0, []
    for kind in ("resource", "data"):
        for entry in document.get(kind, []):
            for type_name, instances in entry.items():
                for name, body in instances.items():
                    count += 1
                    where = f"{path.relative_to(root)}: {plain(type_name)}.{plain(name)}"
                    schema = archive.schema(kind, plain(type_name))
                    unknown = [f"{where}: the provider knows no such {kind}"]
                    found += complaints(body, schema, where) if schema else unknown
    return count, found


def check_folder(root: Path, archive: Archive) -> tuple[int, list[str]]:
    """How many resources and data sources all files of a folder have, and what is wrong with them."""
    results = [check_file(path, archive, root) for path in sorted(root.rglob("*.tf")) if ".terraform" not in path.parts]
    return sum(count for count, _ in results), [line for _, lines in results for line in lines]


def main() -> int:
    """Prints the complaints about all files of a folder."""
    count, found = check_folder(Path(sys.argv[2]), Archive(Path(sys.argv[1])))
    for line in found:
        print(line, file=sys.stderr)
    print(f"{count} resources and data sources checked against the provider's schema, {len(found)} complaints")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main())
