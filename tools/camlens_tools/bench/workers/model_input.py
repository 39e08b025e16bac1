"""The picture as a model's input tensor, preprocessed as model.toml says and as camlens does it."""

import pathlib

import numpy as np
from PIL import Image

try:
    import tomllib
except ImportError:  # Python 3.9 and 3.10
    import tomli as tomllib

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
}


def manifest(folder):
    return tomllib.loads((pathlib.Path(folder) / "model.toml").read_text(encoding="utf-8"))


def input_tensor(folder, picture):
    """`[1, 3, H, W]` or `[1, H, W, 3]`, float32."""
    return tensor(manifest(folder)["input"], picture)


def tensor(settings, picture):
    """Like `input_tensor`, for the settings of `[input]`; `[1, 1, H, W]` for grayscale."""
    height, width = settings["size"]
    resample = FILTERS[settings["resize"]]
    with Image.open(picture) as opened:
        image = opened.convert("L" if settings["color"] == "gray" else "RGB")
    if settings["fit"] == "crop":
        ratio = settings["crop_ratio"]
        factor = max(height / ratio / image.height, width / ratio / image.width)
        image = image.resize((round(image.width * factor), round(image.height * factor)), resample)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    else:
        image = image.resize((width, height), resample)
    pixels = np.atleast_3d(np.asarray(image, np.float32))
    if settings["color"] == "bgr":
        pixels = pixels[:, :, ::-1]
    pixels = (pixels * np.float32(settings["scale"]) - np.float32(settings["mean"])) / np.float32(
        settings["std"]
    )
    if settings["layout"] == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels[None], np.float32)


def masks(count, height, width, seed=0):
    """Smooth masks in 0..1, `[count, height, width]`, like those that Score-CAM makes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 14, 14), np.uint8)
    grown = [
        np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR))
        for mask in coarse
    ]
    return np.stack(grown).astype(np.float32) / 255
