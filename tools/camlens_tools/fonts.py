"""Writes the fonts of figures, src/picture/figure/fonts: parts of the Noto fonts, without hints.

    python tools fonts [--noto FOLDER]

Reads the fonts of Debian's packages fonts-noto-core (20201225) and fonts-noto-cjk (20220127), which
lie in /usr/share/fonts, or in FOLDER if the packages are only unpacked. Installs fonttools on
first use.

Of the CJK fonts, whole regions would be 16 MB each. The Japanese font here has the characters of
JIS X 0208, KS X 1001's Hangul and the frequent traditional characters of Big5; the Chinese one has
those of GB 2312 that the Japanese one lacks or draws otherwise.
"""

import argparse
import sys
from pathlib import Path

from camlens_tools.bench.common import Failure
from camlens_tools.bench.environment import continue_in, install
from camlens_tools.paths import ROOT

VENV = ROOT / ".venv-fonts"
FOLDER = ROOT / "src" / "picture" / "figure" / "fonts"
NOTO = Path("/usr/share/fonts")
CJK = "opentype/noto/NotoSansCJK-Regular.ttc"
JAPANESE, CHINESE = 0, 2
FEATURES = ["ccmp", "locl", "mark", "mkmk", "kern", "liga", "rlig", "calt"]
# Arabic and Devanagari.
FEATURES += ["init", "medi", "fina", "isol", "curs", "nukt", "akhn", "rphf", "rkrf", "blwf", "half"]
FEATURES += ["vatu", "cjct", "pres", "abvs", "blws", "psts", "haln", "dist", "abvm", "blwm"]
# Without `locl`, which would bring the other regions' forms.
CJK_FEATURES = ["ccmp", "kern"]
# Arrows, mathematical operators and geometric shapes.
SYMBOLS = [*range(0x2190, 0x2400), *range(0x25A0, 0x2600)]


def characters(codec, lead, tail):
    """The characters of an encoding in two bytes, by the ranges of their first and second byte."""
    found = set()
    for first in lead:
        for second in tail:
            try:
                text = bytes([first, second]).decode(codec)
            except UnicodeDecodeError:
                continue
            found |= {ord(text)} if len(text) == 1 else set()
    return found


def is_han(code):
    return 0x3400 <= code <= 0x9FFF


def cjk_characters(japanese_map, chinese_map):
    """The characters of the Japanese and of the Chinese font."""
    row = range(0xA1, 0xFF)
    jis = characters("euc_jp", row, row)
    gb = set(filter(is_han, characters("gb2312", row, row)))
    hangul = {c for c in characters("euc_kr", row, row) if 0xAC00 <= c <= 0xD7A3}
    # Big5's first level ends at C67E.
    big5 = characters("big5", range(0xA4, 0xC7), [*range(0x40, 0x7F), *row])
    kana = set(range(0x3000, 0x3100)) | set(range(0x31F0, 0x3200)) | set(range(0xFF00, 0xFFF0))
    japanese = kana | hangul | set(filter(is_han, jis | big5))
    differs = {c for c in gb if japanese_map.get(c) != chinese_map.get(c)}
    return japanese, differs | (gb - japanese)


def write(font, name, codes, features):
    from fontTools import subset

    options = subset.Options()
    options.hinting = False
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 4, 6, 13, 14]
    options.layout_features = features
    options.drop_tables += ["BASE", "DSIG", "VORG", "vhea", "vmtx", "MATH"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(font)
    # So that the same fonts give the same bytes.
    font.recalcTimestamp = False
    file = FOLDER / name
    font.save(file)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes, {len(codes)} characters")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noto", type=Path, default=NOTO, help="where the Noto fonts lie")
    arguments = parser.parse_args()
    try:
        install("fonts.txt", "fonttools", VENV)
        continue_in(VENV / "bin" / "python", "fonts")
    except Failure as failure:
        sys.exit(f"fonts: {failure}")
    from fontTools.ttLib import TTFont

    FOLDER.mkdir(parents=True, exist_ok=True)
    for script in ["", "Arabic", "Armenian", "Devanagari", "Georgian", "Hebrew", "Thai"]:
        font = TTFont(arguments.noto / f"truetype/noto/NotoSans{script}-Regular.ttf")
        write(font, f"NotoSans{script}.ttf", set(font.getBestCmap()), FEATURES)
    font = TTFont(arguments.noto / "truetype/noto/NotoSansMath-Regular.ttf")
    write(font, "NotoSansMath.ttf", set(SYMBOLS) & set(font.getBestCmap()), [])
    japanese, chinese = (TTFont(arguments.noto / CJK, fontNumber=n) for n in (JAPANESE, CHINESE))
    codes = cjk_characters(japanese.getBestCmap(), chinese.getBestCmap())
    write(japanese, "NotoSansCJKjp.otf", codes[0], CJK_FEATURES)
    write(chinese, "NotoSansCJKsc.otf", codes[1], CJK_FEATURES)


if __name__ == "__main__":
    main()
