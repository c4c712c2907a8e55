"""Checks deploy/kubernetes: all files are used, all documents fit their schemas, all names are those of something.

usage: python3 deploy/check_manifests.py
Exit code 0 when all is well; else 1, with one line per mistake. The overlays are rendered with `kustomize` or `kubectl`
where one of them is on PATH; without them the documents are checked as they are written. Rendered, they are checked a
second time with the mistakes of manifest_defects.py put back, and each has to be found.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from manifest_defects import DEFECTS, put_back, unseen
from manifest_names import loose_names

DEPLOY = Path(__file__).resolve().parent
ROOT = DEPLOY / "kubernetes"
# The oldest and the newest release that is thought of; ReadWriteOncePod is as old as the first.
VERSIONS = ("1.29", "1.37")
# What a kustomization names by path.
LISTS = ("resources", "configurations", "components")

# The add-ons that bring a storage class's driver: https://docs.aws.amazon.com/eks/latest/userguide/ebs-csi.html
ADD_ONS = {"ebs.csi.aws.com": "aws-ebs-csi-driver"}

Document = dict[str, Any]


def described(document: Document) -> str:
    """How a mistake names a document."""
    return f"{document['kind']} {document['metadata']['name']!r}"


def documents(text: str) -> list[Document]:
    """The documents of a file, empty ones left out."""
    return [document for document in yaml.safe_load_all(text) if document]


def schema_complaints(document: Document) -> Iterator[str]:
    """What a document's schema says about it: Kubernetes' own, or one of deploy/schemas."""
    own = DEPLOY / "schemas" / f"{document['kind'].lower()}.json"
    if own.exists():
        for error in jsonschema.Draft202012Validator(json.loads(own.read_text())).iter_errors(document):
            yield f"{described(document)}: {error.json_path}: {error.message}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(step) for step in error.path)
            yield f"{described(document)}: Kubernetes {version}: {path}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{described(document)}: {error.message}"


def named_paths(kustomization: Path) -> Iterator[Path]:
    """The files and folders that a kustomization names."""
    content = yaml.safe_load(kustomization.read_text())
    paths = [path for key in LISTS for path in content.get(key, [])]
    paths += [path for entry in content.get("configMapGenerator", []) for path in entry.get("files", [])]
    return ((kustomization.parent / path).resolve() for path in paths)


def file_complaints(root: Path, kustomizations: list[Path]) -> Iterator[str]:
    """Files that are named and missing, and files that nothing names."""
    named = {path: kustomization for kustomization in kustomizations for path in named_paths(kustomization)}
    for path, kustomization in named.items():
        if not (path.is_file() or (path / "kustomization.yaml").is_file()):
            yield f"{kustomization.relative_to(root)}: there is no {path.relative_to(root)}"
    for path in root.rglob("*"):
        if path.suffix in {".yaml", ".toml"} and path.name != "kustomization.yaml" and path not in named:
            yield f"{path.relative_to(root)}: no kustomization names this file"


def driver_complaints(root: Path) -> Iterator[str]:
    """Storage classes whose driver no command of the page installs."""
    page = (root / "README.md").read_text()
    for document in documents((root / "base/site/storage-class.yaml").read_text()):
        add_on = ADD_ONS.get(document["provisioner"])
        if add_on and f"--addon-name {add_on}" not in page:
            yield f"{described(document)}: no command installs {add_on}"


def renderer() -> list[str] | None:
    """The command that renders an overlay, where there is one."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def overlay_complaints(overlay: Path, command: list[str]) -> Iterator[str]:
    """The mistakes of a rendered overlay."""
    rendered = subprocess.run([*command, str(overlay)], capture_output=True, text=True, check=False)
    if rendered.returncode != 0:
        yield f"{overlay.name}: {rendered.stderr.strip()}"
        return
    content = documents(rendered.stdout)
    for document in content:
        yield from (f"{overlay.name}: {words}" for words in schema_complaints(document))
    yield from (f"{overlay.name}: {words}" for words in loose_names(content))


def written_complaints(root: Path) -> Iterator[str]:
    """The mistakes of what is written."""
    yield from file_complaints(root, sorted(root.rglob("kustomization.yaml")))
    yield from driver_complaints(root)
    for path in sorted(root.glob("base/*/*.yaml")):
        for document in documents(path.read_text()):
            if "apiVersion" in document and document["kind"] != "Kustomization":
                yield from (f"{path.relative_to(root)}: {words}" for words in schema_complaints(document))


def rendered_complaints(root: Path, command: list[str]) -> Iterator[str]:
    """The mistakes of what is rendered."""
    for overlay in sorted(root.glob("overlays/*")):
        yield from overlay_complaints(overlay, command)


def defect_complaints(command: list[str]) -> Iterator[str]:
    """What is wrong with the check itself: mistakes that it does not find."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(ROOT, Path(folder).resolve() / "kubernetes"))
        yield from put_back(copy)
        yield from unseen([*driver_complaints(copy), *rendered_complaints(copy, command)])
    print(f"{len(DEFECTS)} mistakes put back")


def complaints() -> Iterator[str]:
    """All mistakes."""
    yield from written_complaints(ROOT)
    command = renderer()
    if command is None:
        print("neither kustomize nor kubectl is on PATH: the overlays are not rendered, no mistake is put back")
        return
    yield from rendered_complaints(ROOT, command)
    yield from defect_complaints(command)


def main() -> int:
    """Prints the mistakes."""
    found = list(complaints())
    for line in found:
        print(line, file=sys.stderr)
    print(f"deploy/kubernetes checked against Kubernetes {' and '.join(VERSIONS)}, {len(found)} mistakes")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
