"""Builds the wheel of python/, installs it, and uses the command, the client and the Ray stage.

    python3 tools clients.wheel [--without-ray]

The checks run in an environment of their own, in which nothing but the wheel knows of camlens. A
Ray cluster of three nodes loses one of them in the middle of its work.

The exit status is 1 if a check failed.
"""

import os
import shutil
import subprocess
import sys

from camlens_tools.bench.common import Failure, say
from camlens_tools.bench.environment import continue_in, install
from camlens_tools.paths import ROOT

VENV = ROOT / ".venv-wheel"
WHEELS = ROOT / "target" / "wheels"


def build():
    """Builds the wheel and installs it, anew each time."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    python = str(VENV / "bin" / "python")
    maturin = [str(VENV / "bin" / "maturin"), "build", "--release", "--locked", "--quiet"]
    # An extra tag of the operating system's age needs patchelf, and this wheel stays here.
    maturin += ["--compatibility", "linux", "--out", str(WHEELS)]
    run(maturin, cwd=ROOT / "python")
    (wheel,) = WHEELS.glob("camlens-*.whl")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--no-deps", "--force-reinstall", str(wheel)], cwd=ROOT)
    say(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB")


def run(command, cwd):
    if subprocess.run(command, cwd=cwd, check=False).returncode != 0:
        raise Failure(f"{os.path.basename(command[0])} failed")


def main():
    install("wheel.txt", "maturin, onnxruntime, Pillow and ray, some hundred megabytes", venv=VENV)
    continue_in(VENV / "bin" / "python", "clients.wheel")
    build()
    from camlens_tools.clients import checks  # noqa: PLC0415
    from camlens_tools.clients.wheel import client_checks, ray_checks  # noqa: PLC0415

    failed = checks.run(client_checks.CHECKS)
    if "--without-ray" not in sys.argv:
        failed += checks.run(ray_checks.CHECKS)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"wheel: {failure}")
