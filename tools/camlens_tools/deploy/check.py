"""Validates every file of deploy/ with the tool of its own format (make deploy-check).

    .venv-deploy/bin/python tools deploy.check [--binary CAMLENS]

Needs Debian's nginx and prometheus (with promtool), kubectl or kustomize, and the packages of
tools/requirements/deploy.txt. Prints one line for each check. Exit codes: 0, or 1 for the first
file that is not right.
"""

import argparse
import subprocess
import sys

from camlens_tools.bench.common import Failure
from camlens_tools.deploy import kubernetes, limits, nginx, prometheus
from camlens_tools.deploy.common import COMPOSE, Instance, add_binary_option, models_folder, say


def check_compose():
    schema = "vendor.compose-spec"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    run = subprocess.run(
        [*command, str(COMPOSE / "compose.yaml")], check=False, capture_output=True, text=True
    )
    if run.returncode != 0:
        raise Failure(f"compose.yaml: {(run.stdout + run.stderr).strip()}")
    return "the Compose Specification's schema accepts compose.yaml"


def main():
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_binary_option(parser)
    binary = parser.parse_args().binary
    checks = [
        check_compose,
        nginx.check,
        limits.check,
        kubernetes.check_kubernetes,
        kubernetes.check_kserve,
        kubernetes.check_batch,
        prometheus.check_files,
    ]
    for check in checks:
        say(f"ok: {check()}")
    with models_folder() as models, Instance(binary, models) as instance:
        instance.wait_until_ready()
        say(f"ok: {prometheus.check_metrics(instance)}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"deploy: {failure}")
