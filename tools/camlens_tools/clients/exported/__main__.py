"""Exports a model with its maps and runs the file outside camlens (`make exported`).

The maps of ONNX Runtime for Python have to equal the service's to 1e-5, those of onnxruntime-web,
under Node and in Chromium, to 1e-4. Chromium opens the page of docs/guide/export.md as it stands
there. Arguments are further models, by id or path, which are checked in Python with five images and
different targets.

It needs npm and Debian's chromium. The exit status is 1 if a check failed.
"""

import sys

from camlens_tools.bench.common import Failure
from camlens_tools.bench.environment import continue_in, install
from camlens_tools.paths import ROOT

VENV = ROOT / ".venv-exported"


def main():
    install("exported.txt", "onnxruntime, onnx, numpy and Pillow", venv=VENV)
    continue_in(VENV / "bin" / "python", "clients.exported")
    from camlens_tools.clients.exported.files import run_all  # noqa: PLC0415

    count, failed = run_all(sys.argv[1:])
    print(f"exported files: {count - failed} of {count} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"exported: {failure}")
