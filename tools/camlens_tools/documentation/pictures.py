"""Writes the pictures of README.md and of the guide: one sample, explained by each method.

    python tools documentation.pictures [--binary FILE] [NAME ...]

Installs Pillow on first use. The committed files come from Pillow 13.0.0.
"""

import argparse
import io
import subprocess
import sys
from pathlib import Path

from camlens_tools.bench.common import Failure
from camlens_tools.bench.environment import continue_in, install
from camlens_tools.paths import BINARY, DOCS, ROOT

VENV = ROOT / ".venv-docs"
FOLDER = DOCS / "guide" / "images"
FIGURE = DOCS / "images" / "coffee-figure.jpg"
FIGURE_PX = 1200
SAMPLE = ROOT / "web" / "samples" / "coffee.jpg"
MODEL = "efficientnet-lite0"
# The longer side. A page shows the pictures at two thirds of this, so that they are sharp on
# screens with more pixels.
SIDE_PX = 432
QUALITY = 76

# The file's name, and the options besides picture and model.
PICTURES = {
    "gradcam": ["--method", "gradcam"],
    "gradcampp": ["--method", "gradcam++"],
    "scorecam": ["--method", "scorecam"],
    "layercam": ["--method", "layercam", "--layer", "blocks.10"],
    "hirescam": ["--method", "hirescam", "--layer", "blocks.10"],
    "xgradcam": ["--method", "xgradcam", "--layer", "blocks.10"],
    "gradcam-elementwise": ["--method", "gradcam-elementwise", "--layer", "blocks.10"],
    "eigencam": ["--method", "eigencam"],
    "eigengradcam": ["--method", "eigengradcam"],
    "random": ["--method", "random"],
    "ablationcam": ["--method", "ablationcam"],
    "reciprocam": ["--method", "reciprocam"],
    "smoothgradcampp": ["--method", "smoothgradcam++"],
    "groupcam": ["--method", "groupcam"],
    "signed": [
        *["--method", "gradcam", "--target", "cup", "--contrast", "espresso"],
        *["--signed", "true", "--weight", "1"],
    ],
}


def save(picture, file, side_px=SIDE_PX):
    from PIL import Image

    picture = picture.convert("RGB")
    picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    picture.save(file, quality=QUALITY, optimize=True, progressive=True)


def write(binary, names):
    from PIL import Image

    def run(command, *options):
        arguments = [binary, command, SAMPLE, "--model", MODEL, "--quiet", *options, "-o", "-"]
        output = subprocess.run(arguments, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        return Image.open(io.BytesIO(output))

    if not names or "figure" in names:
        save(run("compare", "--output", "figure"), FIGURE, FIGURE_PX)
    if not names or "input" in names:
        save(Image.open(SAMPLE), FOLDER / "input.jpg")
    for name, options in PICTURES.items():
        if not names or name in names:
            save(run("explain", "--output", "overlay", *options), FOLDER / f"{name}.jpg")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=BINARY, help="the camlens to run")
    parser.add_argument("names", nargs="*", help="only these pictures")
    arguments = parser.parse_args()
    try:
        install("docs.txt", "requests, numpy and Pillow", VENV)
        continue_in(VENV / "bin" / "python", "documentation.pictures")
    except Failure as failure:
        sys.exit(f"demo: {failure}")
    write(arguments.binary, arguments.names)


if __name__ == "__main__":
    main()
