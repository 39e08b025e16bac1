"""Starts modules of this package as processes of their own."""

import os
import sys

from camlens_tools.paths import TOOLS


def command(module, *arguments, python=sys.executable):
    """The command line that runs `camlens_tools.<module>`; it needs `environment()`."""
    return [str(python), "-m", f"camlens_tools.{module}", *map(str, arguments)]


def environment():
    """This process's environment, with tools/ on the import path."""
    return {**os.environ, "PYTHONPATH": str(TOOLS)}
