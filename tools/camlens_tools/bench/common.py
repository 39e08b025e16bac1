"""Shared by the benchmarks: models, console output, and the errors that end a run."""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
from collections import namedtuple

from camlens_tools import modules

# `folder` holds model.onnx and model.toml; `picture` is the picture to explain.
Model = namedtuple("Model", "id folder picture")


class Failure(Exception):
    """An error that ends the benchmark, in one line."""


class Skipped(Exception):
    """The reason, in one line, why a contestant cannot run here."""


def say(line):
    print("bench: " + line, flush=True)


def progress(line):
    """Overwrites the last line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K  {line}", end="", file=sys.stderr, flush=True)


def public_command(script, arguments):
    """The command line for the report, without paths of this machine."""
    names = [pathlib.Path(word).name if "/" in word else word for word in arguments]
    return shlex.join(["python3", "tools", script, *names])


def run_module(module, *arguments, python=sys.executable, error=Failure):
    """Runs a script of this package to its end; returns its output."""
    run = subprocess.run(
        modules.command(module, *arguments, python=python),
        env=modules.environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or [run.returncode])[-1]
        raise error(f"{module}: {reason}")
    return run.stdout


class ModelsFolder:
    """A temporary models folder of links, so that the service loads these models and no others."""

    def __init__(self, models):
        self.models = models

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="camlens-bench-")
        for model in self.models:
            os.symlink(model.folder.resolve(), pathlib.Path(self.folder.name) / model.id)
        return self.folder.name

    def __exit__(self, *_):
        self.folder.cleanup()
