"""Runs the clients of KServe and Triton against the real service (`make clients`).

The clients are those that PyPI has, in the versions of tools/requirements/clients.txt, installed
into .venv-clients. Every line that it prints is one check; the exit status is 1 if one failed.
"""

import argparse
import os
import pathlib
import sys

from camlens_tools import modules
from camlens_tools.bench.common import Failure, Model, ModelsFolder
from camlens_tools.bench.environment import has, install
from camlens_tools.bench.processes import Service
from camlens_tools.clients.checks import run
from camlens_tools.paths import BINARY, MODELS, PICTURES, ROOT

VENV = ROOT / ".venv-clients"
MODEL = "efficientnet-lite0"
# KServe gives the model the name of the InferenceService.
SERVED_AS = "my-cats"
PACKAGES = "kserve, tritonclient.http"


def arguments():
    parser = argparse.ArgumentParser(prog="tools clients", description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--python", type=pathlib.Path, help="a Python that has the clients")
    return parser.parse_args()


def continue_with_clients(named):
    """Starts this script again in a Python that has the clients, unless it runs there."""
    python = (named or VENV / "bin" / "python").absolute()
    if not named:
        install("clients.txt", "kserve and tritonclient", venv=VENV)
    elif not has(python, PACKAGES):
        raise Failure(f"{python} lacks kserve or tritonclient (tools/requirements/clients.txt)")
    if pathlib.Path(sys.executable).absolute() != python:
        command = modules.command("clients", *sys.argv[1:], python=python)
        os.execve(command[0], command, modules.environment())


def main():
    options = arguments()
    continue_with_clients(options.python)
    # They import the clients, which only this Python has.
    from camlens_tools.clients import kserve_client, triton_client  # noqa: PLC0415

    picture = PICTURES / "chelsea.png"
    with ModelsFolder([Model(MODEL, MODELS / MODEL, picture)]) as models:
        settings = {"CAMLENS_MODEL_NAME": SERVED_AS}
        service = Service(options.binary.absolute(), models, 2, name="clients", settings=settings)
        try:
            port = service.connection.port
            image = picture.read_bytes()
            checks = [
                *kserve_client.checks(f"http://127.0.0.1:{port}", SERVED_AS, image),
                *triton_client.checks(f"127.0.0.1:{port}", MODEL, image),
            ]
            failed = run(checks)
        finally:
            service.stop()
    print(f"clients: {len(checks) - failed} of {len(checks)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"clients: {failure}")
