"""Images as the service takes them: files."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Union

import numpy as np

Image = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", np.ndarray]
"""The bytes of an image file, its path, or pixels: uint8 `[h, w, 3]` (RGB) or `[h, w]` (grey)."""


def encoded(image: Any) -> bytes:
    """The bytes of an image file."""
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, (str, os.PathLike)):
        return Path(image).read_bytes()
    if isinstance(image, np.ndarray):
        return bitmap(image)
    # A picture of Pillow and the like.
    if hasattr(image, "__array_interface__") and hasattr(image, "convert"):
        return bitmap(np.asarray(image.convert("RGB")))
    raise TypeError(
        "an image is bytes, a path, or a NumPy array uint8 [h, w, 3], not "
        f"{type(image).__module__}.{type(image).__qualname__}"
    )


def bitmap(pixels: np.ndarray) -> bytes:
    """A BMP file of 24 bits a pixel: it needs no library and loses no digit."""
    if pixels.dtype != np.uint8 or not (
        pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    ):
        raise TypeError(
            "pixels are uint8 [h, w, 3] in RGB or [h, w] in grey, not "
            f"{pixels.dtype} {list(pixels.shape)}"
        )
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    height, width, _ = pixels.shape
    row_bytes = (width * 3 + 3) // 4 * 4
    # Rows from the bottom, pixels in BGR.
    rows = np.zeros((height, row_bytes), np.uint8)
    rows[:, : width * 3] = pixels[::-1, :, ::-1].reshape(height, width * 3)
    size = 54 + rows.size
    head = struct.pack("<2sIHHI", b"BM", size, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, 2835, 2835, 0, 0)
    return head + info + rows.tobytes()
