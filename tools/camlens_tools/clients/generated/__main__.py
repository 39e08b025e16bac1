"""Generates clients from openapi.yaml and runs each against the real service (`make clients`).

openapi-python-client, openapi-generator (python and typescript-fetch) and the Postman converter
write their clients into target/clients, where nothing is edited. Each then lists the models,
predicts, explains a picture as a PNG and as JSON, compares methods and reads an error, and every
value has to be that of a plain HTTP request. The official Prometheus parser reads /metrics, too.

It needs Java (openapi-generator) and npm. The versions are those of tools/requirements/
generators.txt and node/package-lock.json. The exit status is 1 if a check failed.
"""

import argparse
import os
import pathlib
import sys

from camlens_tools import modules
from camlens_tools.bench.common import Failure, Model, ModelsFolder
from camlens_tools.bench.environment import install
from camlens_tools.bench.processes import Service
from camlens_tools.clients.checks import run
from camlens_tools.clients.generated import generate
from camlens_tools.paths import BINARY, MODELS, PICTURES, ROOT

VENV = ROOT / ".venv-generators"
MODEL = "efficientnet-lite0"


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools clients.generated", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--generated", action="store_true", help="run what was generated before")
    return parser.parse_args()


def continue_with_generators():
    """Starts this script again in a Python that has the generators, unless it runs there."""
    install("generators.txt", "the generators of clients", venv=VENV)
    python = VENV / "bin" / "python"
    if pathlib.Path(sys.executable).absolute() != python:
        command = modules.command("clients.generated", *sys.argv[1:], python=python)
        os.execve(command[0], command, modules.environment())


def main():
    options = arguments()
    continue_with_generators()
    if options.generated:
        generate.find_clients()
    else:
        generate.all_clients(VENV / "bin")
    # They import what has just been generated, with packages that only this Python has.
    from camlens_tools.clients.generated import (  # noqa: PLC0415
        attrs_client,
        metrics,
        postman,
        pydantic_client,
        typescript_client,
    )
    from camlens_tools.clients.generated.plain import Plain  # noqa: PLC0415

    picture = PICTURES / "chelsea.png"
    with ModelsFolder([Model(MODEL, MODELS / MODEL, picture)]) as models:
        service = Service(options.binary.absolute(), models, 2, name="generated-clients")
        try:
            plain = Plain(f"http://127.0.0.1:{service.connection.port}", MODEL, picture)
            parts = [attrs_client, pydantic_client, typescript_client, postman, metrics]
            checks = [check for part in parts for check in part.checks(plain)]
            failed = run(checks)
        finally:
            service.stop()
    print(f"generated clients: {len(checks) - failed} of {len(checks)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"clients: {failure}")
