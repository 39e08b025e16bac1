"""Golden maps of vgg16-mri in 64-bit arithmetic, for the test that counts.

    python tools golden.exact_maps

The pictures are two of bench.exactness, those with flat areas, reduced to 32 colours so that the
file stays small. Requirements: tools/requirements/exactness.txt, and `tools setup`.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from camlens_tools.golden import common
from camlens_tools.reference import vgg16_mri

PICTURES = ("retina", "bordered")
COLOURS = 32
# Maps larger than this are stored at every STRIDE-th row and column.
LARGE, STRIDE = 100, 6


def reduced(picture):
    """The picture in few colours, without dithering."""
    few = picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return few.convert("RGB")


def main():
    reference, arrays = vgg16_mri.double(), {"stride": np.array([STRIDE])}
    for name in PICTURES:
        picture = reduced(vgg16_mri.PICTURE_MAKERS[name]())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            picture.save(path)
            predicted = reference.classes(path)[:1]
            maps = reference.maps(name, path, predicted)
        arrays[f"{name}|input_u8"] = np.asarray(picture)
        arrays[f"{name}|target"] = np.array(predicted)
        for request, cam in maps.items():
            if request.convention == "paper":
                stride = STRIDE if len(cam) > LARGE else 1
                key = f"{name}|{request.method}|{request.layer}"
                arrays[key] = cam[::stride, ::stride]
    common.save(common.GOLDEN / "vgg16-mri" / "exact.npz", arrays)


if __name__ == "__main__":
    main()
