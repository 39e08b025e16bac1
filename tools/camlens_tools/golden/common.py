"""Shared by the golden scripts: paths, digests, and the one function that writes an .npz file.

Every array is written as little-endian float32, int64 or uint8 in C order, and is finite: a NaN in
a reference file would make every comparison with it pass or fail for the wrong reason.
"""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from camlens_tools.paths import GOLDEN, ROOT

IMAGES = GOLDEN / "images"


def key(name):
    """A tensor name as an npz key: a "/" would make folders inside the archive."""
    return name.replace("/", "|")


def expect_sha256(path, wanted):
    expect_bytes_sha256(path, Path(path).read_bytes(), wanted)


def load_module(path, sha256):
    """Imports a verified Python file that is not part of this repository."""
    expect_sha256(path, sha256)
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expect_bytes_sha256(path, data, wanted):
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise SystemExit(f"{path}: SHA-256 is {found}, expected {wanted}")


def max_diff(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.abs(a - b).max())


def expect_close(what, a, b, limit):
    """Prints the largest difference, which the README quotes; exits when it is too large."""
    diff = max_diff(a, b)
    print(f"{what}: max |difference| {diff:.2e} (limit {limit:.0e})")
    if not diff <= limit:
        raise SystemExit(f"{what}: {diff} > {limit}")
    return diff


def canonical(value):
    """The value as an array of one of the three element types."""
    value = np.asarray(value)
    if value.dtype == np.uint8:
        wanted = "|u1"
    elif value.dtype.kind in "iu":
        wanted = "<i8"
    elif value.dtype.kind == "f":
        wanted = "<f4"
    else:
        raise TypeError(f"a golden file has no element type for {value.dtype}")
    value = np.ascontiguousarray(value, dtype=wanted).reshape(value.shape)
    if not np.isfinite(value.astype(np.float64)).all():
        raise ValueError("a golden array must be finite")
    return value


def save(path, arrays):
    """Writes the arrays and prints their names, types and shapes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    canonical_arrays = {key(name): canonical(value) for name, value in arrays.items()}
    np.savez_compressed(path, **canonical_arrays)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    for name, value in canonical_arrays.items():
        print(f"  {name:48} {value.dtype.str} {list(value.shape)}")


def over_max(cam):
    """Divides a map by its maximum, as the papers do last; an empty map stays all zeros."""
    peak = cam.max()
    return cam / peak if peak > 0 else np.zeros_like(cam)
