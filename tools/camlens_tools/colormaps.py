"""Write the colour tables to src/picture/colormaps/*.bin: 256 RGB triples, 768 bytes each.

Run with an interpreter that has cv2 and matplotlib (written with 4.11.0 and 3.11.2):
python scripts/colormaps.py
JET is not written: camlens computes it, and its SHA-256 is tested. OpenCV has no
diverging tables; those are matplotlib's, as table(i, bytes=True) gives them.
"""

from pathlib import Path

import cv2
import matplotlib
import numpy as np

out = Path(__file__).resolve().parent.parent / "src" / "picture" / "colormaps"
ramp = np.arange(256, dtype=np.uint8).reshape(256, 1)
for name in ["turbo", "viridis", "inferno", "magma", "plasma", "cividis"]:
    bgr = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))
    (out / f"{name}.bin").write_bytes(np.ascontiguousarray(bgr[:, 0, ::-1]).tobytes())
for name, theirs in {"coolwarm": "coolwarm", "rdbu": "RdBu_r"}.items():
    rgba = matplotlib.colormaps[theirs](ramp[:, 0], bytes=True)
    (out / f"{name}.bin").write_bytes(np.ascontiguousarray(rgba[:, :3]).tobytes())
