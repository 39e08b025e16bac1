"""Runs one of the project's scripts: `python3 tools NAME [ARGUMENTS]`, for example `tools setup`.

Without a name it lists them all. `setup` and `models.convert_efficientnet_lite0` run on the
standard library alone, and the benchmarks install what they need; every other script says what it
needs.
"""

import ast
import pathlib
import runpy
import sys

PACKAGE = pathlib.Path(__file__).resolve().parent / "camlens_tools"


def is_script(path):
    return path.is_file() and 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")


def find(name):
    """The file of a script, or None."""
    path = PACKAGE.joinpath(*name.split("."))
    candidates = [path.with_suffix(".py"), path / "__main__.py"]
    return next((file for file in candidates if is_script(file)), None)


def usage():
    """Every script with the first line of its docstring."""
    lines = []
    for path in filter(is_script, sorted(PACKAGE.rglob("*.py"))):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__main__")
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        # The benchmark starts its workers itself.
        if ".workers." not in name:
            lines.append(f"  {name:34} {about.splitlines()[0]}")
    return "usage: python3 tools NAME [ARGUMENTS]\n\n" + "\n".join(lines)


def main():
    if len(sys.argv) < 2 or find(sys.argv[1]) is None:
        sys.exit(usage())
    name = sys.argv.pop(1)
    sys.argv[0] = f"tools {name}"
    runpy.run_module(f"camlens_tools.{name}", run_name="__main__")


if __name__ == "__main__":
    main()
