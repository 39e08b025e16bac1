"""PNG: every colour type, depth and transparency, plain and interlaced."""

import struct
import zlib

import numpy as np

from camlens_tools.golden.decoding.cases import SIZES, picture, rgb

GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}
# Adam7: first column, first row, steps.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
PASSES.append((0, 1, 1, 2))


def chunk(name, body):
    checked = name + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))


def packed(samples, depth):
    """Rows of samples [h, w, channels], each behind filter type 0."""
    rows = b""
    for row in samples:
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
            data = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
        rows += b"\0" + data
    return rows


def png(samples, kind, depth, *extra, interlaced=False, behind=()):
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes]
    data = b"".join(packed(part, depth) for part in parts if part.size)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(data, 9)), *behind]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def kinds():
    """(name, file writer, right pixels) for each colour type and depth, at one size."""
    for depth in (1, 2, 4, 8, 16):
        for kind, name in ((GRAY, "gray"), (RGB, "rgb")):
            if kind == GRAY or depth >= 8:
                yield name, kind, depth
    for depth in (8, 16):
        yield "gray-alpha", GRAY_ALPHA, depth
        yield "rgb-alpha", RGB_ALPHA, depth


def case(name, kind, depth, size, interlaced):
    maximum = 2**depth - 1
    samples = picture(*size, CHANNELS[kind], maximum)
    title = f"png/{size[0]}x{size[1]}-{name}-{depth}" + ("-adam7" if interlaced else "")
    yield (
        f"{title}.png",
        png(samples, kind, depth, interlaced=interlaced),
        rgb(samples, maximum, "straight"),
    )
    if kind in (GRAY, RGB):
        # One colour is transparent, which is compared at the file's own depth.
        key = samples[samples.shape[0] // 2, samples.shape[1] // 2]
        transparent = (samples == key).all(-1)
        expected = rgb(samples, maximum)
        expected[transparent] = 255
        extra = chunk(b"tRNS", key.astype(">u2").tobytes())
        yield f"{title}-key.png", png(samples, kind, depth, extra, interlaced=interlaced), expected


def palettes(depth, size, interlaced):
    rng = np.random.default_rng(3)
    count = min(2**depth, 200)
    colours = rng.integers(0, 256, (count, 3))
    opacity = rng.integers(0, 256, count // 2 + 1)
    samples = picture(*size, 1, 255) * count // 256
    title = f"png/{size[0]}x{size[1]}-palette-{depth}" + ("-adam7" if interlaced else "")
    table = chunk(b"PLTE", colours.astype(np.uint8).tobytes())
    yield (
        f"{title}.png",
        png(samples, PALETTE, depth, table, interlaced=interlaced),
        rgb(colours[samples[..., 0]]),
    )
    alpha = chunk(b"tRNS", opacity.astype(np.uint8).tobytes())
    full = np.concatenate([opacity, np.full(count - len(opacity), 255)])
    blended = rgb(np.concatenate([colours, full[:, None]], -1)[samples[..., 0]], alpha="straight")
    data = png(samples, PALETTE, depth, table, alpha, interlaced=interlaced)
    yield f"{title}-alpha.png", data, blended


def cases():
    for interlaced in (False, True):
        for name, kind, depth in kinds():
            yield from case(name, kind, depth, (17, 13), interlaced)
        for depth in (1, 2, 4, 8):
            yield from palettes(depth, (17, 13), interlaced)
        for size in SIZES[1:4]:
            yield from case("gray", GRAY, 1, size, interlaced)
            yield from case("rgb-alpha", RGB_ALPHA, 16, size, interlaced)
    samples = picture()
    # Pillow, OpenCV and torchvision show the samples as stored, whatever the file says of gamma.
    gamma = chunk(b"gAMA", struct.pack(">I", 100000))
    yield "png/gamma-1.png", png(samples, RGB, 8, gamma), rgb(samples)
    for order in ("first", "separate"):
        control = struct.pack(">IIIIIHHBB", 0, 17, 13, 0, 0, 1, 10, 0, 0)
        other = struct.pack(">IIIIIHHBB", 1, 17, 13, 0, 0, 1, 10, 0, 0)
        frame = struct.pack(">I", 2) + zlib.compress(packed(255 - samples, 8))
        before = [chunk(b"acTL", struct.pack(">II", 1 + (order == "first"), 0))]
        if order == "first":
            before.append(chunk(b"fcTL", control))
        else:
            other = control
            frame = struct.pack(">I", 1) + frame[4:]
        behind = [chunk(b"fcTL", other), chunk(b"fdAT", frame)]
        data = png(samples, RGB, 8, *before, behind=behind)
        yield f"png/animated-{order}.png", data, rgb(samples)
