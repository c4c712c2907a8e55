"""The AWS provider's schema, read from an archive of the npm package `@cdktf/provider-aws`, which is made of it.

The provider itself comes from HashiCorp's registry alone; the package comes from npm. What it does not tell: which
optional attributes are computed when they are left out, which values an attribute takes, which attributes exclude each
other.
"""

import re
import tarfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

# In index.js: `name: { value: …, isBlock: false, type: "simple", storageClassType: "string" }`.
INPUT = re.compile(
    r'^\s+(\w+): \{\s*value: (.*?),\s*isBlock: (true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)"',
    re.DOTALL | re.MULTILINE,
)
# In index.js: `get arn() { return this.getStringAttribute('arn')`.
OUTPUT = re.compile(r"get \w+\(\) \{\s*return [\w.(]*?this\.get(\w+)Attribute\('(\w+)'\)")
# In index.d.ts: a link that ends in the attribute's name, then `readonly fileSystemId?: string;`.
PROPERTY = re.compile(r"#(\w+) \w+#\1\}(?:(?!\*/).)*?\*/\s*readonly \w+(\??): ([^;{]+)", re.DOTALL)
INTERFACE = re.compile(r"export interface (\w+)[^{]*\{(.*?)\n\}", re.DOTALL)
SCALARS = {"string": "string", "number": "number", "boolean": "bool"}


@dataclass
class Attribute:
    """An attribute, with its type as Terraform's protocol writes it."""

    type: str | list
    required: bool = False
    computed: bool = False


@dataclass
class Block:
    """A block: its attributes and the blocks in it."""

    attributes: dict[str, Attribute] = field(default_factory=dict)
    blocks: dict[str, "Nested"] = field(default_factory=dict)


@dataclass
class Nested:
    """A block in a block: `list`, `set` or `struct`, and whether it has to be there and may be there twice."""

    block: Block
    nesting: str
    required: bool
    single: bool


class Archive:
    """The schemas in the archive, read as they are asked for."""

    def __init__(self, path: Path) -> None:
        self.files: dict[str, str] = {}
        with tarfile.open(path) as archive:
            for member in archive:
                parts = member.name.split("/")
                if len(parts) == 4 and parts[3] in ("index.js", "index.d.ts"):
                    self.files["/".join(parts[2:])] = archive.extractfile(member).read().decode()
        self.folders = {}
        for name, text in self.files.items():
            folder, file = name.split("/")
            found = re.search(r'tfResourceType = "(\w+)"', text) if file == "index.js" else None
            if found:
                kind = "data" if folder.startswith("data-aws-") else "resource"
                self.folders[(kind, found.group(1))] = folder

    @cache  # noqa: B019 (one archive, read for the life of the process)
    def schema(self, kind: str, name: str) -> Block | None:
        """The schema of a `resource` or `data` source; None when the provider has none of that name."""
        folder = self.folders.get((kind, name))
        return self._read(folder) if folder else None

    def provider(self) -> Block:
        """What a `provider` block may set."""
        return self._read("provider")

    def _read(self, folder: str) -> Block:
        return read_block(self.files[f"{folder}/index.js"], self.files[f"{folder}/index.d.ts"])


def read_block(code: str, types: str) -> Block:
    """Reads one resource from its two files."""
    functions = {
        match.group(1): match.group(0)
        for match in re.finditer(r"function (\w+)ToHclTerraform\(.*?\n\}\n", code, re.DOTALL)
    }
    interfaces = {name[0].lower() + name[1:]: properties(body) for name, body in INTERFACE.findall(types)}
    inputs = code[code.index("synthesizeHclAttributes()") :] if "synthesizeHclAttributes()" in code else ""
    config = next((found for name, found in interfaces.items() if name.endswith("Config")), {})
    block = read_inputs(inputs, config, functions, interfaces)
    # The resource's own class is the last one.
    for type_name, name in OUTPUT.findall(code[code.rfind("extends cdktf.Terraform") :]):
        block.attributes.setdefault(name, Attribute(output_type(type_name), computed=True))
    block.attributes["id"] = Attribute("string", computed=True)
    return block


def properties(body: str) -> dict[str, tuple[bool, bool]]:
    """An interface's properties by the attribute's name: whether each is required, and whether it is a list."""
    return {name: (optional == "", "[]" in kind) for name, optional, kind in PROPERTY.findall(body)}


def read_inputs(text: str, known: dict, functions: dict[str, str], interfaces: dict[str, dict]) -> Block:
    """Reads what a configuration may set, and goes into its blocks."""
    block = Block()
    for name, value, is_block, kind, storage in INPUT.findall(text):
        required, several = known.get(name, (False, True))
        inner = re.search(r"\b(\w+?)ToHclTerraform", value)
        function = inner.group(1) if inner else ""
        if is_block == "true" and function in functions:
            nested = read_inputs(functions[function], interfaces.get(function, {}), functions, interfaces)
            block.blocks[name] = Nested(nested, kind, required, single=not several)
        else:
            block.attributes[name] = Attribute(input_type(kind, storage), required)
    return block


def input_type(kind: str, storage: str) -> str | list:
    """The type of an attribute from cdktf's two words for it."""
    element = SCALARS.get(re.sub(r"(List|Map)$", "", storage))
    if element is None:
        return "dynamic"
    return element if kind == "simple" else [kind, element]


def output_type(getter: str) -> str | list:
    """The type of an attribute from the getter that cdktf has for it."""
    scalar = {"String": "string", "Number": "number", "Boolean": "bool"}.get(getter)
    return scalar or {"List": ["list", "string"], "StringMap": ["map", "string"]}.get(getter, "dynamic")
