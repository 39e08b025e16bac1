"""Writes the guide's pictures, docs/guide/images/*.jpg: one sample, explained by each method.

    python tools guide_pictures

Needs Pillow (requirements/bench.txt), and the binary and the models that `make build setup` gives.
The committed files come from Pillow 13.0.0.
"""

import argparse
import io
import subprocess
from pathlib import Path

from PIL import Image

from camlens_tools.paths import BINARY, DOCS, ROOT

FOLDER = DOCS / "guide" / "images"
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


def save(picture, name):
    picture = picture.convert("RGB")
    picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    picture.save(FOLDER / f"{name}.jpg", quality=QUALITY, optimize=True, progressive=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=BINARY, help="the camlens to run")
    parser.add_argument("names", nargs="*", help="only these pictures")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    save(Image.open(SAMPLE), "input")
    for name, options in PICTURES.items():
        if arguments.names and name not in arguments.names:
            continue
        command = [arguments.binary, "explain", SAMPLE, "--model", MODEL, "--quiet", *options]
        overlay = subprocess.run(
            [*command, "--output", "overlay", "-o", "-"], cwd=ROOT, check=True, capture_output=True
        )
        save(Image.open(io.BytesIO(overlay.stdout)), name)


if __name__ == "__main__":
    main()
