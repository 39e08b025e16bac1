"""TIFF: sample layouts, alpha, compression, byte order, and what is not decoded."""

import io
import struct

import numpy as np
import tifffile
from PIL import Image

from camlens_tools.golden.decoding.cases import SIZES, opened, picture, rgb, saved

TYPES = {8: np.uint8, 16: np.uint16}


def tiff(samples, photometric="rgb", **options):
    out = io.BytesIO()
    big = options.pop("bigtiff", False)
    order = options.pop("byteorder", "<")
    with tifffile.TiffWriter(out, bigtiff=big, byteorder=order) as writer:
        options.setdefault("metadata", None)
        writer.write(samples, photometric=photometric, **options)
    return out.getvalue()


def planes(samples):
    return np.ascontiguousarray(np.moveaxis(samples, -1, 0))


def alpha():
    """Straight, associated and unspecified extra samples, which must look alike over white."""
    meanings = {"unassalpha": "straight", "assocalpha": "associated", "unspecified": None}
    for depth, kind in TYPES.items():
        maximum = 2**depth - 1
        for channels, photometric in ((2, "minisblack"), (4, "rgb")):
            for extra, meaning in meanings.items():
                samples = picture(17, 13, channels, maximum)
                if meaning == "associated":
                    opacity = samples[..., -1:]
                    samples[..., :-1] = samples[..., :-1] * opacity // maximum
                right = rgb(samples, maximum, meaning)
                name = f"{photometric}-{depth}-{extra}"
                options = {"extrasamples": [extra]}
                yield name, tiff(samples.astype(kind), photometric, **options), right
                if channels == 4:
                    data = tiff(
                        planes(samples.astype(kind)), "rgb", planarconfig="separate", **options
                    )
                    yield f"{name}-planar", data, right
    # As the public report has it: half-transparent red, straight and premultiplied.
    for extra, pixel in (("unassalpha", [255, 0, 0, 128]), ("assocalpha", [128, 0, 0, 128])):
        flat = np.full((8, 8, 4), pixel, np.uint8)
        right = np.full((8, 8, 3), [255, 127, 127], np.uint8)
        yield f"red-{extra}", tiff(flat, extrasamples=[extra]), right


def layouts():
    for depth, kind in TYPES.items():
        maximum = 2**depth - 1
        samples = picture(maximum=maximum).astype(kind)
        right = rgb(samples, maximum)
        for order, title in (("<", ""), (">", "-big-endian")):
            for big in (False, True):
                name = f"rgb-{depth}{title}{'-bigtiff' if big else ''}"
                yield name, tiff(samples, byteorder=order, bigtiff=big), right
        gray = samples[..., 0]
        yield f"gray-{depth}", tiff(gray, "minisblack"), rgb(samples[..., :1], maximum)
        inverted = rgb(maximum - samples[..., :1].astype(np.int64), maximum)
        yield f"white-is-zero-{depth}", tiff(gray, "miniswhite"), inverted
        separate = tiff(planes(samples), planarconfig="separate")
        yield f"rgb-{depth}-planar", separate, right
        for predictor in (False, True):
            for compression in ("lzw", "deflate", "packbits"):
                if predictor and compression == "packbits":
                    continue
                options = {"compression": compression, "predictor": predictor, "rowsperstrip": 4}
                name = f"rgb-{depth}-{compression}{'-predictor' if predictor else ''}"
                yield name, tiff(samples, **options), right
        large = picture(20, 18, maximum=maximum).astype(kind)
        yield f"rgb-{depth}-tiled", tiff(large, tile=(16, 16)), rgb(large, maximum)
        data = tiff(large, tile=(16, 16), compression="deflate", predictor=True)
        yield f"rgb-{depth}-tiled-deflate", data, rgb(large, maximum)
    for size in SIZES[1:4]:
        samples = picture(*size).astype(np.uint8)
        yield f"{size[0]}x{size[1]}-rgb-8", tiff(samples), rgb(samples)
    bits = picture(channels=1)[..., 0] > 120
    for photometric in ("minisblack", "miniswhite"):
        shown = bits if photometric == "minisblack" else ~bits
        right = rgb(shown[..., None].astype(np.int64), 1)
        for compression in (None, "packbits", "deflate"):
            name = f"bilevel-{photometric}-{compression or 'plain'}"
            yield name, tiff(bits, photometric, compression=compression), right
    data = saved(Image.fromarray(bits), "TIFF", compression="group4")
    yield "bilevel-group4", data, opened(data)
    samples = picture().astype(np.uint8)
    pages = io.BytesIO()
    with tifffile.TiffWriter(pages) as writer:
        for page in (samples, 255 - samples):
            writer.write(page, photometric="rgb", metadata=None)
    yield "two-pages", pages.getvalue(), rgb(samples)
    cmyk = Image.fromarray(samples).convert("CMYK")
    data = saved(cmyk, "TIFF")
    yield "cmyk-8", data, opened(data)


def jpeg_compressed():
    """JPEG inside TIFF, as libtiff writes it. The decoder of these differs from libjpeg by 1."""
    image = Image.fromarray(picture(40, 37).astype(np.uint8))
    for mode, name in (("RGB", "rgb"), ("L", "gray")):
        data = saved(image.convert(mode), "TIFF", compression="jpeg", quality=90)
        yield f"jpeg-{name}", data, opened(data)


def refused(cjpeg):
    """What is not decoded, and the words that must name it."""
    samples = picture().astype(np.uint8)
    for depth in (2, 4):
        gray = picture(channels=1, maximum=2**depth - 1)[..., 0].astype(np.uint8)
        data = tiff(gray, "minisblack", bitspersample=depth)
        yield f"gray-{depth}", data, f"{depth} bits per channel"
    image = Image.fromarray(samples)
    yield "palette", saved(image.quantize(16), "TIFF"), "palette colours"
    yield "lab", saved(image.convert("LAB"), "TIFF"), "CIELAB colours"
    yield "ycbcr", saved(image.convert("YCbCr"), "TIFF", compression="jpeg"), "YCbCr colours"
    yield "zstd", tiff(samples, compression="zstd"), "Zstandard compression"
    bits = Image.fromarray(samples[..., 0] > 120)
    yield "group3", saved(bits, "TIFF", compression="group3"), "Group 3"
    yield "float", tiff(samples.astype(np.float32) / 255), "floating-point samples"
    gray = samples[..., 0].astype(np.float32)
    yield "gray-float", tiff(gray, "minisblack"), "floating-point samples"
    yield "signed", tiff(samples.astype(np.int16)), "signed samples"
    yield "unsigned-32", tiff(samples.astype(np.uint32)), "32 bits per channel"
    five = np.concatenate([samples, samples[..., :2]], -1)
    yield "five-channels", tiff(five, planarconfig="contig"), "5 channels"
    # Layouts whose pixels the TIFF decoder would get wrong, or at which it panics.
    four = np.concatenate([samples, samples[..., :1]], -1)
    unspecified = {"extrasamples": ["unspecified"]}
    yield "unspecified-tiles", tiff(four, tile=(16, 16), **unspecified), "a fourth channel"
    lzw = {"compression": "lzw", "predictor": True}
    yield "unspecified-predictor", tiff(four, **lzw, **unspecified), "a fourth channel"
    tiles = tiff(planes(samples), planarconfig="separate", tile=(16, 16))
    yield "planar-tiles", tiles, "tiles with a plane for each channel"
    # tifffile writes neither tag itself, so a neighbour of each is renamed.
    for name, neighbour, tag, what in (
        ("fill-order", 269, 266, "FillOrder"),
        ("predictor", 316, 317, "a predictor"),
    ):
        data = tiff(samples, extratags=[(neighbour, "H", 1, 2, True)])
        entry = struct.pack("<HH", neighbour, 3)
        assert data.count(entry) == 1
        yield name, data.replace(entry, struct.pack("<HH", tag, 3)), what
    for name, options in (
        ("separate", ["-sample", "1x1", "separate"]),
        ("subsampled", ["-sample", "1x1,2x2,2x2"]),
    ):
        strip = cjpeg(samples, "-rgb", *options)
        yield f"jpeg-{name}", jpeg_strip(strip, 17, 13), "JPEG compression with"


def jpeg_strip(strip, width, height):
    """A TIFF file of one strip, which is a complete JPEG file."""
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 7), (262, 3, 2),
        (273, 4, 8), (277, 3, 3), (278, 4, height), (279, 4, len(strip)),
    ]  # fmt: skip
    strip += bytes(len(strip) % 2)
    at = 8 + len(strip)
    behind = at + 2 + 12 * len(entries) + 4
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        # The three depths do not fit into the entry.
        count, value = (3, behind) if tag == 258 else (1, value)
        directory += struct.pack("<HHII", tag, kind, count, value)
    directory += struct.pack("<IHHH", 0, 8, 8, 8)
    return struct.pack("<2sHI", b"II", 42, at) + strip + directory


def cases(cjpeg):
    for group in (alpha, layouts, jpeg_compressed):
        for name, data, right in group():
            yield f"tiff/{name}.tiff", data, right
    for name, data, what in refused(cjpeg):
        yield f"tiff/refused-{name}.tiff", data, what
