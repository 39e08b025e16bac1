"""Writes the image's bill of materials (CycloneDX), out of what cargo and the set-up say.

    python3 tools deploy.sbom TREE OUT

TREE is the output of the command in the Dockerfile: what is linked into the binary for this
platform, as cargo resolves it. OUT lists those crates with licences, checksums from Cargo.lock and
their dependencies, and what the set-up adds: ONNX Runtime and the models. Debian's packages are in
the image's own dpkg database, where scanners read them. Needs requirements/sbom.txt.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import tomllib

from camlens_tools.bench.common import Failure
from camlens_tools.paths import ROOT
from camlens_tools.setup.items import MODELS, machine, model
from camlens_tools.setup.pins import WHEELS

LINE = re.compile(
    r"(?P<depth>\d+)\|(?P<name>\S+) v(?P<version>\S+)[^|]*\|(?P<licence>.*?)( \(\*\))?$"
)
LOCK = ROOT / "Cargo.lock"


def crates(tree):
    """Each crate of `cargo tree --prefix depth` as {(name, version): licence}, and who needs whom.

    A crate that was listed before is listed again without its dependencies.
    """
    licences, needs, path = {}, {}, []
    for line in tree.splitlines():
        match = LINE.match(line)
        if not match:
            raise Failure(f"not a line of `cargo tree`: {line!r}")
        crate, depth = (match["name"], match["version"]), int(match["depth"])
        licences[crate] = match["licence"].strip()
        needs.setdefault(crate, set())
        del path[depth:]
        if path:
            needs[path[-1]].add(crate)
        path.append(crate)
    return licences, needs


def checksums():
    packages = tomllib.loads(LOCK.read_text(encoding="utf-8"))["package"]
    return {(item["name"], item["version"]): item.get("checksum") for item in packages}


def write(tree, out):
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    def component(kind, purl, licence=None, sha256=None, name=None):
        # Older crates write "MIT/Apache-2.0", which is no SPDX expression.
        licence = licence and LicenseFactory().make_from_string(licence.replace("/", " OR "))
        return Component(
            type=kind,
            name=name or purl.name,
            version=purl.version,
            purl=purl,
            bom_ref=f"{purl}#{name}" if name else str(purl),
            licenses=[licence] if licence else [],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
        )

    licences, needs = crates(tree)
    sums = checksums()
    library = ComponentType.LIBRARY
    components = {
        crate: component(library, PackageURL("cargo", None, *crate), licence, sums[crate])
        for crate, licence in licences.items()
    }
    root = components[next(iter(licences))]
    root.type = ComponentType.APPLICATION
    wheel = WHEELS[machine()]
    purl = PackageURL("pypi", None, wheel.name, wheel.version)
    added = [component(library, purl, "MIT", wheel.sha256)]
    for name in MODELS:
        item = model(name, Path("models"))
        purl = PackageURL("pypi", None, item.wheel.name, item.wheel.version)
        kind = ComponentType.MACHINE_LEARNING_MODEL
        added.append(component(kind, purl, None, *item.files.values(), name=name))

    bom = Bom(components=[*(c for c in components.values() if c is not root), *added])
    bom.metadata.component = root
    for crate, needed in needs.items():
        bom.register_dependency(components[crate], [components[other] for other in needed])
    bom.register_dependency(root, added)
    Path(out).write_text(JsonV1Dot6(bom).output_as_string(indent=1) + "\n", encoding="utf-8")


def direct_dependencies():
    """The crates that Cargo.toml names, without macros, which run in the compiler alone."""
    command = ["cargo", "tree", "--locked", "--package", "camlens", "--depth", "1"]
    command += ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {line.split()[0] for line in run.stdout.splitlines()[1:] if line}


def check(path):
    """Validates a bill of materials, and compares it with Cargo.lock; returns what was found."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = path.read_text(encoding="utf-8")
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        raise Failure(f"{path.name} is no CycloneDX: {error}")
    found = [unquote(item["purl"]) for item in json.loads(text)["components"]]
    names = {purl.removeprefix("pkg:").split("@")[0] for purl in found}
    wanted = {f"cargo/{name}" for name in direct_dependencies()} | {"pypi/onnxruntime"}
    if missing := wanted - names:
        raise Failure(f"the bill of materials lacks {', '.join(sorted(missing))}")
    locked = {f"pkg:cargo/{name}@{version}" for name, version in checksums()}
    strangers = {purl for purl in found if purl.startswith("pkg:cargo/")} - locked
    if strangers:
        raise Failure(f"Cargo.lock has no {', '.join(sorted(strangers))}")
    return f"the bill of materials is valid CycloneDX 1.6 with {len(found)} components"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python3 {sys.argv[0]} TREE OUT")
    try:
        write(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2])
    except Failure as failure:
        sys.exit(f"deploy: {failure}")
