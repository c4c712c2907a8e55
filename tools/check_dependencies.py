"""Checks licences and sources of all dependencies against deny.toml.

usage: python3 tools/check_dependencies.py
Exit code 0 when every dependency is allowed; else 1, with one line per dependency that is not.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def packages() -> list[dict]:
    """All packages of the workspace's graph, as `cargo metadata` lists them."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    return json.loads(subprocess.check_output(command, cwd=ROOT))["packages"]


def tokens(expression: str) -> list[str]:
    """The words of an SPDX expression; `A/B` is the old way to write `A OR B`, and `A WITH E` is one licence."""
    text = expression.replace("/", " OR ").replace("(", " ( ").replace(")", " ) ")
    return text.replace(" WITH ", "~WITH~").split()


def allowed(expression: str, allow: set[str]) -> bool:
    """Evaluates an SPDX licence expression: AND binds closer than OR."""
    rest = [word.replace("~WITH~", " WITH ") for word in tokens(expression)]

    def either() -> bool:
        result = both()
        while rest and rest[0] == "OR":
            rest.pop(0)
            result = both() or result
        return result

    def both() -> bool:
        result = one()
        while rest and rest[0] == "AND":
            rest.pop(0)
            result = one() and result
        return result

    def one() -> bool:
        word = rest.pop(0)
        if word != "(":
            return word in allow
        result = either()
        rest.pop(0)
        return result

    return either()


def complaints(package: dict, rules: dict) -> list[str]:
    """What deny.toml does not allow about a package."""
    name = f"{package['name']} {package['version']}"
    exceptions = rules["licenses"].get("exceptions", [])
    allow = set(rules["licenses"]["allow"])
    allow.update(*(entry["allow"] for entry in exceptions if entry["crate"] == package["name"]))
    found = []
    if not package["license"] or not allowed(package["license"], allow):
        found.append(f"{name}: licence {package['license']!r} is not allowed")
    source = package["source"]
    if source and source.removeprefix("registry+") not in rules["sources"]["allow-registry"]:
        found.append(f"{name}: source {source!r} is not allowed")
    return found


def main() -> int:
    """Prints the complaints about all packages."""
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    listed = packages()
    found = [line for package in listed for line in complaints(package, rules)]
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(listed)} packages checked against deny.toml, {len(found)} complaints")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
