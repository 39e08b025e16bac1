"""Makes requests from openapi.yaml and checks the service's responses (`make schema`).

Schemathesis makes valid and invalid requests for every operation, and runs all its checks on the
responses of a real service with a small model. The operations that change models run last, against
a service that allows it. The exit status is 1 if anything was found.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from camlens_tools.bench.common import Failure
from camlens_tools.bench.environment import install
from camlens_tools.bench.processes import Service
from camlens_tools.paths import BINARY, GOLDEN, ROOT, TOOLS

VENV = ROOT / ".venv-schema"
HERE = pathlib.Path(__file__).resolve().parent
MODEL = GOLDEN / "dialects" / "tinyvgg-torchscript.onnx"
ADMIN = ("reloadModels", "loadModel", "unloadModel")


def arguments():
    parser = argparse.ArgumentParser(prog="tools schema", description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--examples", type=int, default=100, help="random cases per operation")
    parser.add_argument("--seed", type=int, help="for the same cases again")
    return parser.parse_args()


def make_models(folder):
    """Models with the names in the examples of openapi.yaml."""
    for name in ("vgg16", "tiny"):
        model = folder / name
        model.mkdir(parents=True)
        shutil.copy(MODEL, model / "model.onnx")
        labels = ["tabby", "Egyptian cat", *(f"thing {index}" for index in range(2, 10))]
        (model / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")


def check(options, models, operations, settings):
    """Runs Schemathesis against a service; returns whether it found nothing."""
    service = Service(options.binary.absolute(), models, 2, name="schema", settings=settings)
    try:
        command = [
            VENV / "bin" / "schemathesis",
            *("--config-file", HERE / "schemathesis.toml"),
            *("run", ROOT / "openapi.yaml"),
            *("--url", f"http://127.0.0.1:{service.connection.port}"),
            *("--max-examples", options.examples),
            *("--checks", "all", "--mode", "all", "--phases", "examples,coverage,fuzzing"),
            *("--continue-on-failure", "--request-timeout", "60", "--warnings", "off"),
            *operations,
        ]
        if options.seed is not None:
            command += ["--seed", options.seed]
        environment = {
            **os.environ,
            "PYTHONPATH": str(TOOLS),
            "SCHEMATHESIS_HOOKS": "camlens_tools.schema.hooks",
        }
        # It leaves files where it runs.
        with tempfile.TemporaryDirectory(prefix="camlens-schema-") as folder:
            run = subprocess.run(
                [str(word) for word in command], check=False, cwd=folder, env=environment
            )
        if service.process.poll() is not None:
            raise Failure("camlens ended")
        return run.returncode == 0
    finally:
        service.stop()


def main():
    options = arguments()
    install("schema.txt", "Schemathesis", venv=VENV)
    with tempfile.TemporaryDirectory(prefix="camlens-schema-") as folder:
        models = pathlib.Path(folder) / "models"
        make_models(models)
        of_admin = [word for name in ADMIN for word in ("--include-operation-id", name)]
        others = [word.replace("include", "exclude") for word in of_admin]
        outcomes = [
            check(options, models, others, {"CAMLENS_DEFAULT_MODEL": "vgg16"}),
            check(options, models, of_admin, {"CAMLENS_ADMIN": "true"}),
        ]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"schema: {failure}")
