"""Writes the page's colour tables, web/js/map/colormaps.js, from those in src/picture/colormaps.

    python3 tools page_colors

A test of the service compares the result with the tables that it serves.
"""

import argparse

from camlens_tools.paths import ROOT

TABLES = ROOT / "src" / "picture" / "colormaps"
OUTPUT = ROOT / "web" / "js" / "map" / "colormaps.js"
NAMES = "jet turbo viridis inferno magma plasma cividis gray coolwarm rdbu".split()
HEAD = """\
// Generated from src/picture/colormaps/ by `python3 tools page_colors`; do not edit.

/** Colour tables by name: 256 RGB colours in hexadecimal, 16 a line. */
export const TABLES = {
"""


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    tables = "".join(f"  {name}: `\n{lines(table(name))}`,\n" for name in NAMES)
    OUTPUT.write_text(HEAD + tables + "};\n", encoding="utf-8")


def table(name):
    """The 768 bytes of a table."""
    if name == "jet":
        return jet()
    if name == "gray":
        return bytes(level for level in range(256) for _ in range(3))
    return (TABLES / f"{name}.bin").read_bytes()


def jet():
    """OpenCV's COLORMAP_JET, by the formula in src/picture/colormap.rs."""
    table = bytearray()
    for level in range(256):
        x = 4 * level
        table += bytes([ramp(x - 383, 1147 - x), ramp(x - 128, 892 - x), ramp(x + 127, 637 - x)])
    # The one value of OpenCV's table that differs from the formula.
    table[159 * 3 + 2] = 1
    return bytes(table)


def ramp(up, down):
    """`min(up, down) + 1/2`, rounded half to even and clamped to a byte."""
    low = min(up, down)
    return max(0, min(255, low + (low & 1)))


def lines(table):
    """16 colours a line, in hexadecimal."""
    rows = [table[start : start + 48].hex() for start in range(0, 768, 48)]
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    main()
