"""Writes the colour tables src/picture/colormaps/*.bin: 256 RGB triples, 768 bytes each.

    python tools colormaps

Needs cv2 and matplotlib; the committed tables come from 4.11.0 and 3.11.2, which
requirements/golden-tf.txt installs. JET is not written: camlens computes it, and a test checks its
SHA-256. OpenCV has no diverging tables; those are matplotlib's, as table(i, bytes=True) gives them.
"""

import argparse

import cv2
import matplotlib
import numpy as np

from camlens_tools.paths import ROOT

FOLDER = ROOT / "src" / "picture" / "colormaps"
OPENCV = ["turbo", "viridis", "inferno", "magma", "plasma", "cividis"]
MATPLOTLIB = {"coolwarm": "coolwarm", "rdbu": "RdBu_r"}


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    ramp = np.arange(256, dtype=np.uint8).reshape(256, 1)
    for name in OPENCV:
        bgr = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))
        write(name, bgr[:, 0, ::-1])
    for name, source in MATPLOTLIB.items():
        rgba = matplotlib.colormaps[source](ramp[:, 0], bytes=True)
        write(name, rgba[:, :3])


def write(name, table):
    (FOLDER / f"{name}.bin").write_bytes(np.ascontiguousarray(table).tobytes())


if __name__ == "__main__":
    main()
