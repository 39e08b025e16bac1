"""JPEG: scans × sampling × size, colour transforms, and what libjpeg does not decode."""

import os
import struct
import subprocess

import imagecodecs
import numpy as np
from PIL import Image

from camlens_tools.golden.decoding.cases import SIZES, opened, picture, saved

SAMPLING = (
    "1x1 2x1 1x2 2x2 4x1 1x4 4x2 2x4 3x1 1x3 3x2 1x1,2x2,2x2 1x1,2x1,2x1 1x1,1x2,1x2 "
    "2x1,1x1,2x1 2x2,2x1,1x2 2x2,1x2,1x2 2x2,2x1,2x1 2x2,1x1,2x2"
).split()
SOS = b"\xff\xda"


class Cjpeg:
    """cjpeg of libjpeg-turbo, which writes what Pillow can't."""

    def __init__(self, path, library):
        self.path = path
        self.environment = dict(os.environ, **({"LD_LIBRARY_PATH": library} if library else {}))

    def __call__(self, pixels, *options):
        scans = "/tmp/camlens-scans.txt"
        with open(scans, "w") as file:
            file.write({"dc": "0,1,2: 0-0, 0, 0;\n"}.get(options[-1], "0;\n1;\n2;\n"))
        named = {"separate": ["-scans", scans], "dc": ["-progressive", "-scans", scans]}
        options = [word for option in options for word in named.get(option, [option])]
        command = [self.path, "-quality", "90", *options]
        source = saved(pixels, "PPM")
        done = subprocess.run(command, input=source, capture_output=True, env=self.environment)
        if done.returncode:
            raise SystemExit(f"{command}: {done.stderr.decode()}")
        return done.stdout


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def find(data, *markers):
    """Position of the first segment with one of the markers."""
    at = 2
    while data[at + 1] not in markers:
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return at


def without(data, marker):
    at = find(data, marker)
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0] :]


def behind_jfif(data, *segments):
    at = 4 + struct.unpack(">H", data[4:6])[0] if data[3] == 0xE0 else 2
    return data[:at] + b"".join(segments) + data[at:]


def patched(data, at, new):
    return data[:at] + bytes(new) + data[at + len(new) :]


def matrix(cjpeg):
    ways = {"baseline": [], "progressive": ["-progressive"], "separate": ["separate"]}
    for sampling in SAMPLING:
        for way, options in ways.items():
            yield f"17x13-{sampling}-{way}", cjpeg(picture(), "-sample", sampling, *options)
    for width, height in SIZES[1:]:
        for sampling in ("1x1", "2x1", "1x2", "2x2", "1x1,2x2,2x2"):
            for way in ("baseline", "separate") if sampling != "1x1" else ("baseline",):
                data = cjpeg(picture(width, height), "-sample", sampling, *ways[way])
                yield f"{width}x{height}-{sampling}-{way}", data
    for sampling in ("1x1", "2x2"):
        for way, options in {**ways, "optimised": ["-optimize"]}.items():
            data = cjpeg(picture(40, 37), "-sample", sampling, "-restart", "2B", *options)
            yield f"40x37-{sampling}-restart-{way}", data


def special(cjpeg):
    yield "arithmetic", cjpeg(picture(), "-arithmetic")
    yield "arithmetic-progressive", cjpeg(picture(), "-arithmetic", "-progressive")
    yield "gray", cjpeg(picture(), "-grayscale")
    yield "gray-progressive", cjpeg(picture(), "-grayscale", "-progressive")
    yield "gray-2x2", cjpeg(picture(), "-grayscale", "-sample", "2x2")
    yield "quality-1", cjpeg(picture(), "-quality", "1")
    yield "quality-100", cjpeg(picture(), "-quality", "100", "-sample", "1x1")
    yield "only-dc", cjpeg(picture(40, 37), "dc")
    plain = cjpeg(picture(), "-sample", "1x1")
    for transform in (0, 1, 2, 9):
        adobe = segment(0xEE, b"Adobe\0d\0\0\0\0" + bytes([transform]))
        yield f"adobe-{transform}-jfif", behind_jfif(plain, adobe)
        yield f"adobe-{transform}", behind_jfif(without(plain, 0xE0), adobe)
    yield "no-jfif", without(plain, 0xE0)
    rgb = cjpeg(picture(), "-rgb")
    yield "rgb-adobe", rgb
    yield "rgb-named", without(rgb, 0xEE)
    yield "extended-sequential", patched(plain, find(plain, 0xC0) + 1, [0xC1])
    yield "comment", behind_jfif(plain, segment(0xFE, b"\xff\xd9 not the end"))
    yield "stray-bytes", behind_jfif(plain, b"\x07" * 9)
    yield "fill-bytes", behind_jfif(plain, b"\xff" * 9)
    yield "trailer", plain + b"MotionPhoto" + plain
    yield "padded", plain[:-2] + bytes(64) + plain[-2:]
    cmyk = np.array(Image.fromarray(picture().astype(np.uint8)).convert("CMYK"))
    cmyk[..., 3] = np.mgrid[0:13, 0:17][1] * 12
    for name, options in {"": {}, "-progressive": {"progressive": True}}.items():
        data = saved(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=92, **options)
        yield f"cmyk{name}", data
        yield f"cmyk{name}-no-adobe", without(data, 0xEE)
        # The same numbers, said to be YCCK.
        yield f"ycck{name}", patched(data, find(data, 0xEE) + 15, [2])


def refused(cjpeg):
    plain = cjpeg(picture(), "-sample", "1x1")
    frame = find(plain, 0xC0)
    for marker, what in {0xC5: "hierarchical coding", 0xCB: "lossless coding"}.items():
        yield f"refused-{marker:x}", patched(plain, frame + 1, [marker]), what
    pixels = picture().astype(np.uint8)
    lossless = imagecodecs.ljpeg_encode(pixels[..., 0])
    yield "refused-lossless", lossless, "lossless coding"
    yield "refused-jpeg-ls", imagecodecs.jpegls_encode(pixels), "the coding of JPEG-LS"
    deep = patched(patched(plain, frame + 1, [0xC1]), frame + 4, [12])
    yield "refused-12-bit", deep, "12 bits per channel"
    two = segment(0xC0, struct.pack(">BHHB", 8, 13, 17, 2) + b"\1\x11\0\2\x11\1")
    length = 2 + struct.unpack(">H", plain[frame + 2 : frame + 4])[0]
    yield "refused-2-channels", plain[:frame] + two + plain[frame + length :], "2 channels"
    yield "refused-dnl", patched(plain, frame + 5, [0, 0]), "its height behind the pixels"
    thirds = cjpeg(picture(), "-sample", "3x1")
    fraction = patched(thirds, find(thirds, 0xC0) + 14, [0x21])
    yield "refused-fraction", fraction, "channels whose sampling is no whole fraction"
    scans = cjpeg(picture(), "-grayscale", "-progressive")
    at = scans.index(SOS)
    many = scans[:at] + scans[at:-2] * 18 + scans[-2:]
    yield "refused-scans", many, f"{many.count(SOS)} scans"


def cases(cjpeg):
    for name, data in [*matrix(cjpeg), *special(cjpeg)]:
        yield f"jpeg/{name}.jpg", data, opened(data)
    for name, data, what in refused(cjpeg):
        yield f"jpeg/{name}.jpg", data, what
