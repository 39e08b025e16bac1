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


def jpeg_compressed(cjpeg):
    """JPEG inside TIFF, as libtiff and tifffile write it, and with strips of cjpeg."""
    samples = picture(40, 37).astype(np.uint8)
    image = Image.fromarray(samples)
    for mode, name in (("RGB", "rgb"), ("L", "gray"), ("YCbCr", "ycbcr"), ("CMYK", "cmyk")):
        data = saved(image.convert(mode), "TIFF", compression="jpeg", quality=90)
        yield f"jpeg-{name}", data, opened(data)
        data = saved(image.convert(mode), "TIFF", compression="jpeg", tiffinfo={278: 16})
        yield f"jpeg-{name}-strips", data, opened(data)
    large = picture(70, 53).astype(np.uint8)
    options = {"compression": "jpeg", "compressionargs": {"level": 90}}
    for photometric in ("rgb", "ycbcr"):
        for order, title in (("<", ""), (">", "-big-endian")):
            data = tiff(large, photometric, tile=(32, 16), byteorder=order, **options)
            yield f"jpeg-{photometric}-tiles{title}", data, opened(data)
        data = tiff(large, photometric, rowsperstrip=8, bigtiff=True, **options)
        yield f"jpeg-{photometric}-bigtiff", data, opened(data)
    for name, ways in (
        ("separate", ["-rgb", "-sample", "1x1", "separate"]),
        ("subsampled", ["-rgb", "-sample", "1x1,2x2,2x2"]),
        ("progressive", ["-rgb", "-progressive"]),
        ("arithmetic", ["-rgb", "-arithmetic"]),
    ):
        strip = cjpeg(picture(), *ways)
        data = jpeg_parts([strip], 17, 13)
        # libtiff refuses subsampled RGB, which as a file of its own is decoded.
        yield f"jpeg-{name}", data, opened(strip if name == "subsampled" else data)
    strips = [cjpeg(large[top : top + 24], "-grayscale") for top in (0, 24, 48)]
    for photometric, name in ((1, "black"), (0, "white")):
        data = jpeg_parts(strips, 70, 53, photometric=photometric, samples=1, rows=24)
        yield f"jpeg-{name}-is-zero", data, opened(data)
    # The planes of RGB, each a JPEG in gray.
    channels = [cjpeg(np.repeat(large[..., i : i + 1], 3, -1), "-grayscale") for i in range(3)]
    data = jpeg_parts(channels, 70, 53, planar=2)
    yield "jpeg-planes", data, opened(data)
    # What the colours are is said by TIFF, not by JPEG's own markers.
    for name, ways in (("jfif", []), ("adobe", ["-rgb"])):
        strip = cjpeg(large, "-sample", "1x1", *ways)
        for photometric, colours in ((2, "rgb"), (6, "ycbcr")):
            data = jpeg_parts([strip], 70, 53, photometric=photometric)
            yield f"jpeg-{name}-said-{colours}", data, opened(data)


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
    plain = cjpeg(samples, "-rgb")
    deep = plain.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c")
    yield "jpeg-12-bit", jpeg_parts([deep], 17, 13), "12 bits per channel"
    lossless = plain.replace(b"\xff\xc0\x00\x11", b"\xff\xc3\x00\x11")
    yield "jpeg-lossless", jpeg_parts([lossless], 17, 13), "lossless coding"


def jpeg_parts(parts, width, height, photometric=2, samples=3, rows=None, planar=1):
    """A TIFF file whose strips are complete JPEG files."""
    start, body, offsets = 8, b"", []
    for part in parts:
        offsets.append(start + len(body))
        body += part + bytes(len(part) % 2)
    fields = [
        (256, "I", [width]), (257, "I", [height]), (258, "H", [8] * samples), (259, "H", [7]),
        (262, "H", [photometric]), (273, "I", offsets), (277, "H", [samples]),
        (278, "I", [rows or height]), (279, "I", [len(part) for part in parts]),
        (284, "H", [planar]),
    ]  # fmt: skip
    if photometric == 6:
        # No subsampling, which libtiff does not guess.
        fields.append((530, "H", [1, 1]))
    at = start + len(body)
    behind = at + 2 + 12 * len(fields) + 4
    directory, values = struct.pack("<H", len(fields)), b""
    for tag, letter, numbers in fields:
        data = struct.pack("<" + letter * len(numbers), *numbers)
        directory += struct.pack("<HHI", tag, {"H": 3, "I": 4}[letter], len(numbers))
        if len(data) <= 4:
            directory += data.ljust(4, b"\0")
        else:
            directory += struct.pack("<I", behind + len(values))
            values += data + bytes(len(data) % 2)
    directory += struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, at) + body + directory + values


def cases(cjpeg):
    for group in (alpha(), layouts(), jpeg_compressed(cjpeg)):
        for name, data, right in group:
            yield f"tiff/{name}.tiff", data, right
    for name, data, what in refused(cjpeg):
        yield f"tiff/refused-{name}.tiff", data, what
