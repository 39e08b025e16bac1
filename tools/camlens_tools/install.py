"""Installs camlens, or removes it: the binary, ONNX Runtime, the models, man pages, completions.

    python3 tools install [--prefix ~/.local] [--destdir DIR] [--binary FILE] [--remove]

Everything lies below the prefix, where the binary finds it: bin/camlens, lib/camlens,
share/camlens/models, share/man/man1, and the completions of bash, zsh and fish. Models that others
put beside those of camlens are kept. Runs on the standard library.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from camlens_tools.paths import BINARY, MODELS, RUNTIME

COMPLETIONS = {
    "bash": "share/bash-completion/completions/camlens",
    "zsh": "share/zsh/site-functions/_camlens",
    "fish": "share/fish/vendor_completions.d/camlens.fish",
}
LIBRARY = pathlib.PurePath("lib/camlens")
SHIPPED = pathlib.PurePath("share/camlens/models")
PAGES = pathlib.PurePath("share/man/man1")


def place(source, target, mode=0o644):
    """Copies a file under its final name only once it is complete; one in use is replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    part.chmod(mode)
    os.replace(part, target)


def shipped_models():
    """The files of each model folder that holds its ONNX file."""
    for folder in sorted(path.parent for path in MODELS.glob("*/model.onnx")):
        yield folder.name, [path for path in folder.iterdir() if path.is_file()]


def install(binary, prefix):
    place(binary, prefix / "bin/camlens", 0o755)
    for file in RUNTIME.iterdir():
        if file.is_file():
            place(file, prefix / LIBRARY / file.name)
    for name, files in shipped_models():
        for file in files:
            if not file.name.endswith(".part"):
                place(file, prefix / SHIPPED / name / file.name)
    with tempfile.TemporaryDirectory() as folder:
        pages = pathlib.Path(folder)
        subprocess.run([binary, "man", "--out", pages], check=True)
        for page in pages.iterdir():
            place(page, prefix / PAGES / page.name)
        for shell, path in COMPLETIONS.items():
            script = pages / shell
            with open(script, "wb") as file:
                subprocess.run([binary, "completions", shell], stdout=file, check=True)
            place(script, prefix / path)


def remove(prefix):
    targets = [prefix / "bin/camlens", *(prefix / path for path in COMPLETIONS.values())]
    targets += (prefix / PAGES).glob("camlens*.1")
    for target in targets:
        target.unlink(missing_ok=True)
    shutil.rmtree(prefix / LIBRARY, ignore_errors=True)
    for name, _ in shipped_models():
        shutil.rmtree(prefix / SHIPPED / name, ignore_errors=True)
    for folder in (prefix / SHIPPED, prefix / SHIPPED.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prefix", type=pathlib.Path, default=pathlib.Path.home() / ".local")
    parser.add_argument("--destdir", default="", help="put the prefix into this folder")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--remove", action="store_true")
    args = parser.parse_args()

    prefix = pathlib.Path(args.destdir + str(args.prefix.expanduser().absolute()))
    if args.remove:
        remove(prefix)
        print(f"camlens is no longer in {prefix}")
        return
    install(args.binary.absolute(), prefix)
    print(f"camlens is installed: {prefix}/bin/camlens")
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if not args.destdir and str(prefix / "bin") not in folders:
        print(f"{prefix}/bin is not in your PATH yet; add it to use `camlens` from anywhere")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        print(f"install: {error}", file=sys.stderr)
        sys.exit(1)
