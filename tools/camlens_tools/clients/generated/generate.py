"""Runs the generators. What they write is never edited."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from camlens_tools.bench.common import Failure
from camlens_tools.paths import ROOT

OUT = ROOT / "target" / "clients"
CONTRACT = ROOT / "openapi.yaml"
NODE = Path(__file__).resolve().parent / "node"

# The package that openapi-python-client writes, and the one of openapi-generator's python.
ATTRS = OUT / "openapi-python-client" / "camlens_attrs"
PYDANTIC = OUT / "openapi-generator-python"
TYPESCRIPT = OUT / "typescript-fetch"
POSTMAN = OUT / "postman"


def all_clients(bin_folder):
    """Writes every client anew."""
    for command, debian in (("java", "default-jre-headless"), ("npm", "npm")):
        if not shutil.which(command):
            raise Failure(f"there is no {command} (Debian: apt install {debian})")
    shutil.rmtree(OUT, ignore_errors=True)
    with_openapi_python_client(bin_folder)
    with_openapi_generator(bin_folder, "python", PYDANTIC, "--package-name", "camlens_pydantic")
    with_openapi_generator(bin_folder, "typescript-fetch", TYPESCRIPT / "client")
    install_node_packages()
    compile_typescript()
    call(NODE / "convert.cjs", CONTRACT, POSTMAN / "collection.json", command="node")
    find_clients()


def find_clients():
    """Lets this process import the Python clients."""
    sys.path[:0] = [str(ATTRS.parent), str(PYDANTIC)]


def call(*words, command=None, **settings):
    """Runs a command quietly; returns what it prints."""
    command = [str(word) for word in ((command, *words) if command else words)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, **settings)
    if run.returncode != 0:
        raise Failure(f"{' '.join(command[:3])}:\n{run.stdout}{run.stderr}")
    return run.stdout + run.stderr


def with_openapi_python_client(bin_folder):
    ATTRS.parent.mkdir(parents=True)
    # A warning is no failure. What it leaves out is found by the tests of the client, and the one
    # about `image/*` is right: such a body is raw bytes, for which it has no function.
    said = call(bin_folder / "openapi-python-client", "generate", "--path", CONTRACT,
                "--meta", "none", "--output-path", ATTRS)  # fmt: skip
    if "Endpoint will not be generated" in said:
        raise Failure(f"openapi-python-client leaves out an endpoint:\n{said}")


def with_openapi_generator(bin_folder, language, into, *options):
    said = call(bin_folder / "openapi-generator-cli", "generate", "--input-spec", CONTRACT,
                "--generator-name", language, "--output", into, *options)  # fmt: skip
    faults = [line for line in said.splitlines() if " ERROR " in line]
    if faults:
        raise Failure(f"openapi-generator, {language}: {faults[0]}")


def install_node_packages():
    """The packages of node/package-lock.json, beside the generated clients."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(NODE / name, OUT / name)
    call("npm", "ci", "--silent", "--no-fund", "--no-audit", cwd=OUT)


def compile_typescript():
    for name in ("run.ts", "tsconfig.json"):
        shutil.copy(NODE / name, TYPESCRIPT / name)
    call(OUT / "node_modules" / ".bin" / "tsc", "--project", TYPESCRIPT)


def node(script, *arguments):
    """Runs a script of ours or of a client in Node, with the installed packages."""
    environment = {**os.environ, "NODE_PATH": str(OUT / "node_modules")}
    return call(script, *arguments, command="node", env=environment)
