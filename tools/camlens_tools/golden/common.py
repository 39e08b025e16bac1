"""What the golden scripts share: paths, hashes, and the one way an .npz is written.

Every array leaves here as little-endian float32, int64 or uint8 in C order, and
finite: a NaN in a reference file would make every comparison with it pass or
fail for the wrong reason.
"""

import hashlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
IMAGES = GOLDEN / "images"


def key(name):
    """A tensor name as an npz key: '/' would make folders inside the archive."""
    return name.replace("/", "|")


def expect_sha256(path, wanted):
    expect_bytes_sha256(path, Path(path).read_bytes(), wanted)


def expect_bytes_sha256(path, data, wanted):
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise SystemExit(f"{path}: SHA-256 is {found}, expected {wanted}")


def max_diff(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.abs(a - b).max())


def expect_close(what, a, b, limit):
    """Print the distance (the README quotes it) and stop when it is too large."""
    diff = max_diff(a, b)
    print(f"{what}: max |difference| {diff:.2e} (limit {limit:.0e})")
    if not diff <= limit:
        raise SystemExit(f"{what}: {diff} > {limit}")
    return diff


def settle(value):
    value = np.asarray(value)
    if value.dtype == np.uint8:
        wanted = "|u1"
    elif value.dtype.kind in "iu":
        wanted = "<i8"
    elif value.dtype.kind == "f":
        wanted = "<f4"
    else:
        raise TypeError(f"no place for dtype {value.dtype} in a golden file")
    value = np.ascontiguousarray(value, dtype=wanted).reshape(value.shape)
    if not np.isfinite(value.astype(np.float64)).all():
        raise ValueError("a golden array must be finite")
    return value


def save(path, arrays):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    settled = {key(name): settle(value) for name, value in arrays.items()}
    np.savez_compressed(path, **settled)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    for name, value in settled.items():
        print(f"  {name:48} {value.dtype.str} {list(value.shape)}")


def over_max(cam):
    """The papers' last step; a map with nothing in it stays all zeros."""
    peak = cam.max()
    return cam / peak if peak > 0 else np.zeros_like(cam)
