"""The Python that the workers run in: a named one, or the benchmark's own virtual environment."""

import os
import pathlib
import subprocess
import sys

from camlens_tools import modules
from camlens_tools.bench.common import Failure
from camlens_tools.paths import REQUIREMENTS, ROOT

VENV = ROOT / ".venv-bench"


def interpreter(named, peers):
    """A Python with onnxruntime, numpy and Pillow, and with torch and the peers if `peers`."""
    if named:
        # absolute(), not resolve(): an environment's python is a link that finds it by its own
        # path.
        python = pathlib.Path(named).absolute()
        if not has(python, "numpy, onnxruntime, PIL"):
            raise Failure(
                f"{python} lacks onnxruntime, numpy or Pillow (tools/requirements/bench.txt)"
            )
        return python
    python = VENV / "bin" / "python"
    install("bench.txt", "onnxruntime, numpy and Pillow")
    if peers:
        install("bench-peers.txt", "torch and the peers, some gigabytes")
    return python


def with_torch(named):
    """A Python with torch and onnx, too, which `reference` needs."""
    python = interpreter(named, False)
    if not named:
        install("exactness.txt", "torch and onnx, some gigabytes")
    if not has(python, "torch, onnx"):
        raise Failure(f"{python} lacks torch or onnx (tools/requirements/exactness.txt)")
    return python


def continue_in(python, module):
    """Starts this script again in `python`, with the same arguments, unless it runs there."""
    if pathlib.Path(sys.executable).absolute() != pathlib.Path(python):
        command = modules.command(module, *sys.argv[1:], python=python)
        os.execve(command[0], command, {**modules.environment(), "BENCH_PYTHON": str(python)})


def has(python, packages):
    command = [str(python), "-c", f"import {packages}"]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError as error:
        raise Failure(f"{python}: {error.strerror}") from error


def install(requirements, what, venv=VENV):
    """Installs a requirements file, once for each version of it."""
    wanted = (REQUIREMENTS / requirements).read_text(encoding="utf-8")
    done = venv / requirements
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return
    if not (venv / "bin" / "pip").is_file():
        if (
            subprocess.run(
                [sys.executable, "-m", "venv", "--clear", str(venv)],
                check=False,
                capture_output=True,
            ).returncode
            != 0
        ):
            raise Failure(
                f"{sys.executable} cannot make a virtual environment (Debian: apt install "
                "python3-venv)"
            )
        (venv / ".gitignore").write_text("*\n", encoding="utf-8")
    print(f"bench: installing {what} into {venv.name}", flush=True)
    command = [
        str(venv / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--only-binary",
        ":all:",
        "--requirement",
        str(REQUIREMENTS / requirements),
    ]
    run = subprocess.run(
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if run.returncode != 0:
        reasons = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise Failure(
            f"pip could not install {requirements}: {reasons[-1] if reasons else run.returncode}"
        )
    done.write_text(wanted, encoding="utf-8")
