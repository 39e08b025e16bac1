"""Makes one axial slice of the MNI152 T1 template, an MRI picture to try VGG16-mri on.

    python tools golden.brain_slice --nilearn NILEARN.whl OUT.png

Needs nibabel 5.3.2, numpy and Pillow. The picture is NOT committed: the package that contains the
template gives its licence as "unknown" (nilearn/datasets/description/icbm152_2009.rst), so the
golden arrays use scikit-image's Shepp-Logan phantom instead. tests/golden/README.md says what is
known about the licence.
"""

import argparse
import gzip
import zipfile

import nibabel
import numpy as np
from PIL import Image

from camlens_tools.golden import common

SHA256 = "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6"
PATH = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
HEIGHT_MM = 16  # through the bodies of the lateral ventricles
SIDE = 220


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nilearn", required=True, help="the wheel of nilearn 0.14.1")
    parser.add_argument("out")
    wanted = parser.parse_args()
    with zipfile.ZipFile(wanted.nilearn) as wheel:
        data = wheel.read(PATH)
    common.expect_bytes_sha256(PATH, data, SHA256)
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(data))
    # The axes point right, anterior and superior; a picture has the anterior side at its top.
    level = round(HEIGHT_MM - image.affine[2, 3])
    plane = np.asarray(image.dataobj)[:, :, level].T[::-1]
    low, high = np.percentile(plane[plane > 0], [1, 99.5])
    grey = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1) * 255
    rows, columns = np.nonzero(plane > 20)
    grey = (
        grey[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        .round()
        .astype(np.uint8)
    )
    square = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - grey.shape[0]) // 2, (SIDE - grey.shape[1]) // 2
    square[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    Image.fromarray(square).save(wanted.out, optimize=True)
    print(wanted.out, square.shape, "slice", level)


if __name__ == "__main__":
    main()
