"""Runs one of the project's scripts: `python3 tools NAME [ARGUMENTS]`, for example `tools setup`.

Without a name it lists them all. Only `setup` runs on the standard library alone; for the others
each script says which file of tools/requirements/ it needs.
"""

import ast
import pathlib
import runpy
import sys

PACKAGE = pathlib.Path(__file__).resolve().parent / "camlens_tools"


def scripts():
    """Maps the name of every module that can be run to the first line of its docstring."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__":' in source:
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__main__")
            found[name] = (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
    return found


def main():
    known = scripts()
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        # Workers are started by the benchmark, not by people.
        listed = {name: about for name, about in known.items() if ".workers." not in name}
        width = max(map(len, listed))
        lines = [f"  {name:{width}}  {about}" for name, about in listed.items()]
        sys.exit("usage: python3 tools NAME [ARGUMENTS]\n\n" + "\n".join(lines))
    name = sys.argv.pop(1)
    sys.argv[0] = f"tools {name}"
    runpy.run_module(f"camlens_tools.{name}", run_name="__main__")


if __name__ == "__main__":
    main()
