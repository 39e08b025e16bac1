"""What the modules beside this one make: files, each with its right pixels or its refusal.

A case is (name, bytes, right): `right` is an array [height, width, 3] of bytes, or a text that
says what the file has and camlens refuses. The pixels are those that Pillow shows, or follow from
the samples that were written, by the formulas of this module.
"""

import io

import numpy as np
from PIL import Image, ImageOps

SIZES = [(17, 13), (1, 1), (1, 9), (9, 1), (2, 17), (8, 8), (33, 2)]


def picture(width=17, height=13, channels=3, maximum=255):
    """A deterministic picture [height, width, channels] with gradients, edges and a little noise.

    The fourth channel (the second of two), opacity, has all values from 0 to the maximum.
    """
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(7).integers(0, 24, (height, width, 3))
    red = x * 231 // max(width - 1, 1)
    green = y * 231 // max(height - 1, 1)
    blue = (x * 37 + y * 23) % 232
    colours = np.stack([red, green, blue], -1) + noise
    colours[(x > 4) & (x < 9) & (y > 3) & (y < 8)] = (200, 30, 40)
    opacity = (np.arange(height * width).reshape(height, width) * 97) % (height * width)
    opacity = opacity * 255 // max(height * width - 1, 1)
    pick = {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    values = np.concatenate([colours, opacity[..., None]], -1)[..., pick].astype(np.int64)
    if maximum > 255:
        # Fine steps, so that the low bits matter.
        fine = maximum // 255
        return np.minimum(values * fine + values * 31 % fine, maximum)
    return values * maximum // 255


def rgb(samples, maximum=255, alpha=None):
    """8-bit RGB of samples [h, w, 1..4], over white: in 64-bit arithmetic, rounded to nearest."""
    samples = samples.astype(np.float64) / maximum
    colours = samples
    if samples.shape[-1] in (2, 4):
        colours, opacity = samples[..., :-1], samples[..., -1:]
        if alpha == "associated":
            colours = np.minimum(colours + 1 - opacity, 1)
        elif alpha == "straight":
            colours = colours * opacity + 1 - opacity
    if colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, -1)
    return np.floor(colours * 255 + 0.5).astype(np.uint8)


def opened(data):
    """The pixels that Pillow shows: upright, alpha over white."""
    image = Image.open(io.BytesIO(data))
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return rgb(np.array(image.convert("RGBA")), alpha="straight")
    return np.array(image.convert("RGB"))


def saved(image, kind, **options):
    """A file that Pillow writes."""
    out = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = image[..., 0] if image.shape[-1] == 1 else image
        image = Image.fromarray(image.astype(np.uint8))
    image.save(out, kind, **options)
    return out.getvalue()
