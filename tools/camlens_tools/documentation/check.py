"""Runs every command that README.md and docs/guide show, and compares what it prints.

    python tools documentation.check [--binary FILE]

Each `sh`, `console` and `python` block runs in a scratch folder with the repository's samples and
models in it, against a service on a free port. Lines that a `console` block shows, and comments
behind `print(...)`, must be what is printed; numbers with a decimal point may differ by 2 %. A
block behind `<!-- not run: REASON -->` is listed with its reason.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from camlens_tools.bench.common import Failure
from camlens_tools.bench.environment import continue_in, install
from camlens_tools.deploy.common import Instance
from camlens_tools.documentation.blocks import blocks, commands, differs, printed_by
from camlens_tools.paths import BINARY, DOCS, MODELS, ROOT, RUNTIME

VENV = ROOT / ".venv-docs"
FILES = [ROOT / "README.md", *sorted((DOCS / "guide").glob("*.md"))]
ADDRESSES = ("127.0.0.1:8080", "localhost:8080")
SHIPPED = ("efficientnet-lite0", "vgg16-mri")
TIMEOUT_S = 120


class Sandbox:
    """The folder in which the commands run, and their environment."""

    def __init__(self, folder, binary):
        self.folder = folder
        self.models = folder / "models"
        self.models.mkdir()
        for model in SHIPPED:
            (self.models / model).symlink_to(MODELS / model)
        (folder / "web").symlink_to(ROOT / "web")
        (folder / "runtime").symlink_to(RUNTIME)
        # The reader's own model.
        (folder / "model.onnx").symlink_to(MODELS / SHIPPED[0] / "model.onnx")
        programs = folder / "bin"
        programs.mkdir()
        (programs / "camlens").symlink_to(binary)
        for name in ("python", "python3"):
            (programs / name).symlink_to(sys.executable)
        self.port = None

    def run(self, arguments, text):
        """Runs a program with `text` as its input; returns its exit code and what it printed."""
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("CAMLENS")}
        environment = {**inherited, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        # Scripts read no input but themselves.
        run = subprocess.run(
            [*arguments, text],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
        )
        return run.returncode, run.stdout

    def with_port(self, text):
        for address in ADDRESSES:
            text = text.replace(address, f"127.0.0.1:{self.port}")
        return text

    def shell(self, text):
        return self.run(["bash", "-euo", "pipefail", "-c"], self.with_port(text))

    def python(self, text):
        return self.run([sys.executable, "-c"], self.with_port(text))


def fault(block, sandbox):
    """What is wrong with a block, or None."""
    if block.language == "console":
        for command, expected in commands(block):
            code, printed = sandbox.shell(command)
            # `head` and `grep` end pipes early, so the exit code says little where lines are shown.
            if code != 0 and not expected:
                return f"exit code {code} from: {command}\n{printed}"
            missing = differs([sandbox.with_port(line) for line in expected], printed.splitlines())
            if missing is not None:
                return f"{command}\nshows: {missing}\nprints:\n{printed}"
        return None
    run = sandbox.shell if block.language == "sh" else sandbox.python
    code, printed = run(block.text)
    if code != 0:
        return f"exit code {code}\n{printed}"
    expected = printed_by(block)
    missing = differs(expected, printed.splitlines()) if expected else None
    return None if missing is None else f"shows: {missing}\nprints:\n{printed}"


def check(binary):
    found = [block for path in FILES for block in blocks(path, path.relative_to(ROOT).as_posix())]
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder), binary.resolve())
        with Instance(binary, sandbox.models) as service:
            service.wait_until_ready()
            sandbox.port = service.port
            for block in found:
                if block.reason:
                    continue
                wrong = fault(block, sandbox)
                faults += wrong is not None
                print(f"{'FAULT' if wrong else 'ok   '} {block.where} ({block.language})")
                if wrong:
                    print("    " + wrong.replace("\n", "\n    "), flush=True)
    skipped = [block for block in found if block.reason]
    print(f"\n{len(found) - len(skipped)} blocks run, {faults} at fault; not run:")
    for block in skipped:
        print(f"  {block.where}: {block.reason}")
    if faults:
        raise Failure(f"{faults} blocks of the documentation don't do what they show")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=BINARY, help="the camlens to run")
    arguments = parser.parse_args()
    try:
        install("docs.txt", "requests, numpy and Pillow", VENV)
        continue_in(VENV / "bin" / "python", "documentation.check")
        check(arguments.binary)
    except Failure as failure:
        sys.exit(f"docs-check: {failure}")


if __name__ == "__main__":
    main()
