"""Orientation: every value in every container, and every type and place of the tag."""

import struct
import zlib

import numpy as np

from camlens_tools.golden.decoding import jpeg, png
from camlens_tools.golden.decoding.cases import opened, picture, saved

TAG = 274
TYPES = {
    "byte": (1, "B"), "short": (3, "H"), "long": (4, "I"), "sbyte": (6, "b"),
    "undefined": (7, "B"), "sshort": (8, "h"), "slong": (9, "i"), "float": (11, "f"),
}  # fmt: skip
PICTURE = picture(7, 5).astype(np.uint8)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description {}'
    "/></rdf:RDF></x:xmpmeta>"
)


def exif(value, kind="short", order="<", count=1):
    """A TIFF structure with one other tag and the orientation."""
    number, letter = TYPES[kind]
    body = struct.pack(order + letter * count, *[value] * count)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2)
    other = struct.pack(order + "HHII", 256, 4, 1, 7)
    entry = struct.pack(order + "HHI", TAG, number, count)
    entry += struct.pack(order + "I", 38) if len(body) > 4 else body.ljust(4, b"\0")
    return head + other + entry + struct.pack(order + "I", 0) + (body if len(body) > 4 else b"")


def twice(first, second):
    """A TIFF structure with the orientation in two entries, of which Pillow takes the first."""
    entries = [struct.pack("<HHIHH", TAG, 3, 1, value, 0) for value in (first, second)]
    return b"II*\0" + struct.pack("<IH", 8, 2) + b"".join(entries) + bytes(4)


def xmp(value, element=False):
    if element:
        return XMP.replace("{}/>", f"><tiff:Orientation>{value}</tiff:Orientation>"
                           "</rdf:Description>").encode()  # fmt: skip
    return XMP.format(f'tiff:Orientation="{value}"').encode()


class Writers:
    """A file of each container around the same picture, with metadata."""

    def __init__(self, cjpeg):
        self.plain_jpeg = cjpeg(PICTURE, "-sample", "1x1")

    def jpeg(self, exif=None, xmp=None):
        segments = [] if exif is None else [jpeg.segment(0xE1, b"Exif\0\0" + exif)]
        if xmp is not None:
            segments.append(jpeg.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))
        return jpeg.behind_jfif(self.plain_jpeg, *segments)

    def png(self, exif=None, xmp=None, behind=False):
        chunks = [] if exif is None else [png.chunk(b"eXIf", exif)]
        if xmp is not None:
            chunks.append(png.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
        if behind:
            return png.png(PICTURE, png.RGB, 8, behind=chunks)
        return png.png(PICTURE, png.RGB, 8, *chunks)

    def webp(self, exif=None, xmp=None, flags=None, extended=True):
        """Chunks by hand: Pillow drops the prefix of EXIF."""
        pixels = saved(PICTURE, "WEBP", lossless=True)[12:]
        if flags is None:
            flags = (8 if exif is not None else 0) | (4 if xmp is not None else 0)
        size = struct.pack("<I", 6)[:3] + struct.pack("<I", 4)[:3]
        chunks = [b"VP8X" + struct.pack("<II", 10, flags) + size, pixels][not extended :]
        for name, body in ((b"EXIF", exif), (b"XMP ", xmp)):
            if body is not None:
                chunks.append(name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2))
        body = b"WEBP" + b"".join(chunks)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    def tiff(self, value, kind="short", order="<", big=False, xmp=None):
        """One strip of RGB; the directory stands behind the pixels."""
        height, width, _ = PICTURE.shape
        start = 16 if big else 8
        pixels = PICTURE.tobytes() + bytes(PICTURE.size % 2)
        number, letter = TYPES[kind]
        entries = [
            (256, 4, struct.pack(order + "I", width)), (257, 4, struct.pack(order + "I", height)),
            (258, 3, struct.pack(order + "HHH", 8, 8, 8)), (259, 3, struct.pack(order + "H", 1)),
            (262, 3, struct.pack(order + "H", 2)), (273, 4, struct.pack(order + "I", start)),
            (277, 3, struct.pack(order + "H", 3)), (278, 4, struct.pack(order + "I", height)),
            (279, 4, struct.pack(order + "I", PICTURE.size)),
        ]  # fmt: skip
        if value is not None:
            entries.append((TAG, number, struct.pack(order + letter, value)))
        if xmp is not None:
            entries.append((700, 1, xmp))
        long, room = ("Q", 8) if big else ("I", 4)
        at = start + len(pixels)
        directory = struct.pack(order + ("Q" if big else "H"), len(entries))
        data = at + len(directory) + len(entries) * (20 if big else 12) + room
        behind = b""
        for tag, type_number, body in sorted(entries):
            size = {1: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 11: 4}[type_number]
            directory += struct.pack(order + "HH" + long, tag, type_number, len(body) // size)
            if len(body) <= room:
                directory += body.ljust(room, b"\0")
            else:
                directory += struct.pack(order + long, data + len(behind))
                behind += body + bytes(len(body) % 2)
        directory += struct.pack(order + long, 0)
        mark = b"II" if order == "<" else b"MM"
        if big:
            head = mark + struct.pack(order + "HHHQ", 43, 8, 0, at)
        else:
            head = mark + struct.pack(order + "HI", 42, at)
        return head + pixels + directory + behind


def magick(value):
    """ImageMagick's text chunk of the years before eXIf."""
    data = b"Exif\0\0" + exif(value)
    text = f"\nexif\n{len(data):8}\n{data.hex()}\n".encode()
    return png.png(PICTURE, png.RGB, 8, png.chunk(b"tEXt", b"Raw profile type exif\0" + text)), (
        png.png(PICTURE, png.RGB, 8, png.chunk(
            b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)))
    )  # fmt: skip


def files(cjpeg):
    writers = Writers(cjpeg)
    containers = {"jpg": writers.jpeg, "png": writers.png, "webp": writers.webp}
    for value in range(10):
        for name, write in containers.items():
            yield f"{value}.{name}", write(exif(value))
        yield f"{value}.tiff", writers.tiff(value)
    for name, write in containers.items():
        for kind in TYPES:
            for order, title in (("<", "little"), (">", "big")):
                yield f"6-{kind}-{title}.{name}", write(exif(6, kind, order))
        yield f"6-prefix.{name}", write(b"Exif\0\0" + exif(6))
        yield f"6-twice.{name}", write(exif(6, count=2))
        yield f"6-then-8.{name}", write(twice(6, 8))
        yield f"300.{name}", write(exif(300))
        yield f"cut.{name}", write(exif(6)[:-8])
        yield f"empty.{name}", write(b"")
        yield f"6-xmp.{name}", write(xmp=xmp(6))
        yield f"8-xmp-element.{name}", write(xmp=xmp(8, element=True))
        yield f"6-exif-8-xmp.{name}", write(exif(6), xmp(8))
        yield f"1-exif-8-xmp.{name}", write(exif(1), xmp(8))
    # libwebp, and so Pillow, reads no metadata that the header does not announce.
    webp = writers.webp
    yield "6-not-announced.webp", webp(exif(6), flags=0)
    yield "6-announced-as-xmp.webp", webp(exif(6), flags=4)
    yield "6-announced-as-all.webp", webp(exif(6), flags=12)
    yield "6-exif-8-xmp-not-announced.webp", webp(exif(6), xmp(8), flags=4)
    yield "6-xmp-not-announced.webp", webp(xmp=xmp(6), flags=0)
    yield "6-xmp-announced-as-exif.webp", webp(xmp=xmp(6), flags=8)
    yield "6-without-header.webp", webp(exif(6), extended=False)
    for kind in TYPES:
        for order, title in (("<", "little"), (">", "big")):
            yield f"6-{kind}-{title}.tiff", writers.tiff(6, kind, order)
    yield "6-bigtiff-little.tiff", writers.tiff(6, big=True)
    yield "6-xmp.tiff", writers.tiff(None, xmp=xmp(6))
    yield "6-behind.png", writers.png(exif(6), behind=True)
    yield "8-xmp-behind.png", writers.png(xmp=xmp(8), behind=True)
    yield "6-magick.png", magick(6)[0]
    yield "6-magick-compressed.png", magick(6)[1]


def cases(cjpeg):
    for name, data in files(cjpeg):
        yield f"orientation/{name}", data, opened(data)
    # Pillow does not know this header.
    data = Writers(cjpeg).tiff(6, order=">", big=True)
    yield "orientation/6-bigtiff-big.tiff", data, np.rot90(PICTURE, -1)
