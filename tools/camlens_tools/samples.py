"""Writes the sample pictures of the web page, web/samples/*.jpg, from the demo images.

    python tools samples

Needs Pillow (requirements/bench.txt) and the images that `tools setup` fetches. The committed files
come from Pillow 13.0.0. web/samples/samples.json says what they show and whose they are.
"""

import argparse
import json

from PIL import Image

from camlens_tools.paths import PICTURES, ROOT

FOLDER = ROOT / "web" / "samples"
# The longer side; no sample is enlarged.
SIDE_PX = 512
QUALITY = 88


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for sample in json.loads((FOLDER / "samples.json").read_text(encoding="utf-8")):
        file = FOLDER / sample["file"]
        source = next(PICTURES.glob(file.stem + ".*"))
        picture = Image.open(source).convert("RGB")
        picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
        picture.save(file, quality=QUALITY, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
