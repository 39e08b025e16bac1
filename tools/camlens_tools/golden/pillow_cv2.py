"""Golden arrays for src/picture, made by Pillow, torchvision, OpenCV and torch.

    python tools golden.pillow_cv2 [--check]

Runs in the torch environment (requirements/golden-torch.txt). With --check it writes nothing: it
makes the OpenCV and Pillow parts again and compares them with the files. That is how a second
OpenCV, the TensorFlow environment's 4.11, is compared with the one that wrote them.
"""

import argparse
import hashlib

import cv2
import numpy as np
from PIL import Image

from camlens_tools.golden import common

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos3": Image.Resampling.LANCZOS,
}
JET_SHA256 = "661fa696672fecb0ffa3e76bff80e0119d8308227c361c0043f705d8c867faad"
COLORMAPS = ("jet", "turbo", "viridis", "inferno", "magma", "plasma", "cividis")

# (height, width): larger, smaller, larger in one axis and smaller in the other, a single pixel.
SMALL_SIZES = [(131, 97), (17, 23), (100, 29), (29, 100), (48, 64), (1, 1), (49, 63)]


def chelsea():
    with Image.open(common.IMAGES / "chelsea.png") as image:
        return image.convert("RGB")


def stretches():
    """Pillow's resize of a whole picture and of a 48x64 crop of it."""
    image = chelsea()
    piece = image.crop((120, 60, 120 + 64, 60 + 48))
    arrays = {"piece": np.asarray(piece)}
    arrays["chelsea|bicubic|240x240"] = np.asarray(
        image.resize((240, 240), Image.Resampling.BICUBIC)
    )
    for name, resample in FILTERS.items():
        arrays[f"chelsea|{name}|224x224"] = np.asarray(image.resize((224, 224), resample))
        for height, width in SMALL_SIZES:
            arrays[f"piece|{name}|{height}x{width}"] = np.asarray(
                piece.resize((width, height), resample)
            )
    return arrays


def crops():
    """torchvision's Resize (shorter side) then CenterCrop, on PIL images.

    Key: source|filter|shorter side|side of the crop. An odd side and an upright source test the
    rounding of the long side and of the crop's corner.
    """
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    modes = {
        "nearest": InterpolationMode.NEAREST,
        "bilinear": InterpolationMode.BILINEAR,
        "bicubic": InterpolationMode.BICUBIC,
        "lanczos3": InterpolationMode.LANCZOS,
    }
    image = chelsea()
    upright = image.crop((150, 20, 150 + 101, 20 + 202))
    arrays = {"upright": np.asarray(upright)}

    def add(source, picture, name, shorter, side):
        fit = Compose([Resize(shorter, interpolation=modes[name]), CenterCrop(side)])
        arrays[f"{source}|{name}|{shorter}|{side}"] = np.asarray(fit(picture))

    for name in modes:
        add("chelsea", image, name, 61, 61)
        add("upright", upright, name, 64, 56)
        add("upright", upright, name, 75, 66)
        add("upright", upright, name, 131, 120)
    add("chelsea", image, "bilinear", 256, 224)
    add("chelsea", image, "bicubic", 256, 224)
    return arrays


def maps():
    """A map of a layer's size, resized in the three ways that the conventions use."""
    rng = np.random.default_rng(14)
    map14 = rng.random((14, 14), dtype=np.float32) * 2.5 - 0.5
    map5x9 = rng.random((5, 9), dtype=np.float32)
    arrays = {"map14": map14, "map5x9": map5x9, "map1": np.full((1, 1), 0.625, np.float32)}

    def cv(name, height, width):
        arrays[f"cv2|{name}|{height}x{width}"] = cv2.resize(
            arrays[name], (width, height), interpolation=cv2.INTER_LINEAR
        )

    for height, width in [(300, 451), (7, 9), (14, 14), (13, 29), (56, 56)]:
        cv("map14", height, width)
    cv("map5x9", 33, 41)
    cv("map5x9", 3, 4)
    cv("map1", 6, 10)
    return arrays


def torch_maps(arrays):
    import torch
    import torch.nn.functional as F

    def up(name, height, width, align):
        value = torch.from_numpy(arrays[name])[None, None]
        out = F.interpolate(value, size=(height, width), mode="bilinear", align_corners=align)
        label = "align_corners" if align else "half_pixel"
        arrays[f"torch_{label}|{name}|{height}x{width}"] = out[0, 0].numpy()

    up("map14", 224, 224, True)
    up("map14", 224, 224, False)
    up("map5x9", 33, 41, True)
    up("map5x9", 33, 41, False)
    up("map1", 6, 10, True)


def colormaps():
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    arrays = {}
    for name in COLORMAPS:
        table = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))
        arrays[name] = np.ascontiguousarray(table[:, 0, ::-1])
    digest = hashlib.sha256(arrays["jet"].tobytes()).hexdigest()
    if digest != JET_SHA256:
        raise SystemExit(f"OpenCV's JET has SHA-256 {digest}, not {JET_SHA256}")
    return arrays


def overlays():
    """The article's blend written with OpenCV calls, on a picture whose sides are odd.

    The article's own function makes pictures/article_overlay.npz. These arrays add another weight,
    the mix, and a map with a sharp peak.
    """
    image = np.asarray(chelsea().resize((151, 101), Image.Resampling.BILINEAR))
    rows, columns = np.mgrid[0:14, 0:14].astype(np.float32)
    heat = np.exp(-((rows - 4.3) ** 2 / 9 + (columns - 9.1) ** 2 / 5)).astype(np.float32)
    heat += 0.35 * np.exp(-((rows - 11) ** 2 / 4 + (columns - 2) ** 2 / 6)).astype(np.float32)
    heat /= heat.max()
    arrays = {"image": image, "map": heat}
    height, width = image.shape[:2]
    large = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    arrays["map_image_size"] = large
    sharp = 1 / (1 + np.exp(-50 * (large - 0.5)))
    for name, values in [("plain", large), ("emphasized", sharp)]:
        index = (255 * values).astype(np.uint8)
        colour = cv2.cvtColor(cv2.applyColorMap(index, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
        arrays[f"{name}|index"] = index
        arrays[f"{name}|heatmap"] = colour
        for weight in (0.8, 0.5):
            added = np.minimum(colour * weight + image, 255.0)
            arrays[f"{name}|add|{weight}"] = added.astype(np.uint8)
        mixed = (1 - 0.5) * image + 0.5 * colour
        arrays[f"{name}|mix|0.5"] = mixed.astype(np.uint8)
    return arrays


def check(path, arrays):
    with np.load(path) as stored:
        worst_float = worst_u8 = 0.0
        for name, value in arrays.items():
            difference = common.max_diff(stored[name], value)
            if value.dtype == np.uint8:
                worst_u8 = max(worst_u8, difference)
            else:
                worst_float = max(worst_float, difference)
    print(f"{path.name}: float {worst_float:.2e}, u8 {worst_u8:g}")
    if worst_u8 > 0 or worst_float > 1e-5:
        raise SystemExit(f"{path} differs under OpenCV {cv2.__version__}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only, without torch")
    wanted = parser.parse_args()
    print("OpenCV", cv2.__version__, "Pillow", Image.__version__, "NumPy", np.__version__)
    folder = common.GOLDEN / "pictures"
    made = {
        "pillow_resize.npz": stretches(),
        "bilinear_maps.npz": maps(),
        "colormaps.npz": colormaps(),
        "overlay_cv2.npz": overlays(),
    }
    if wanted.check:
        for name, arrays in made.items():
            check(folder / name, arrays)
        return
    torch_maps(made["bilinear_maps.npz"])
    made["torchvision_crop.npz"] = crops()
    for name, arrays in made.items():
        common.save(folder / name, arrays)


if __name__ == "__main__":
    main()
