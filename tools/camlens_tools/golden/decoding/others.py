"""BMP, GIF and WebP."""

import io
import struct

import numpy as np
from PIL import Image

from camlens_tools.golden.decoding.cases import SIZES, opened, picture, rgb, saved

RAW, RLE8, RLE4, FIELDS = 0, 1, 2, 3


def bmp(width, height, depth, data, compression=RAW, table=b"", masks=b"", size=40):
    """A Windows bitmap; a header of 12 bytes is OS/2's. A negative height is top-down."""
    if size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        entries = len(table) // 4
        header = struct.pack(
            "<IiiHHIIiiII", size, width, height, 1, depth, compression, len(data), 0, 0, entries, 0
        )
        # Versions 4 and 5 hold the masks and a colour space.
        header += masks + bytes(size - 40 - len(masks)) if size > 40 else masks
    offset = 14 + len(header) + len(table)
    head = b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset)
    return head + header + table + data


def rows(values, depth, top_down=False):
    """Rows of integers [h, w], packed to `depth` bits, padded to 4 bytes, bottom row first."""
    out = b""
    for row in values if top_down else values[::-1]:
        if depth < 8:
            bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
            data = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
        else:
            data = b"".join(int(value).to_bytes(depth // 8, "little") for value in row)
        out += data + bytes(-len(data) % 4)
    return out


def joined(samples, shifts, depths):
    """Channels of 8 bits joined to one integer, each shortened to its depth."""
    parts = [
        (samples[..., i].astype(np.int64) >> (8 - depth)) << shift
        for i, (shift, depth) in enumerate(zip(shifts, depths))
    ]
    return sum(parts)


def widened(samples, depths):
    """What is left of the channels, stretched to 0..255."""
    top = [2**depth - 1 for depth in depths]
    short = np.stack([samples[..., i] >> (8 - depth) for i, depth in enumerate(depths)], -1)
    return np.floor(short * 255 / top + 0.5).astype(np.uint8)


def bitmaps():
    rng = np.random.default_rng(5)
    for width, height in SIZES:
        samples = picture(width, height)
        size = f"{width}x{height}"
        data = rows(joined(samples, (16, 8, 0), (8, 8, 8)), 24)
        yield f"{size}-24", bmp(width, height, 24, data), rgb(samples)
        for depth in (1, 4, 8):
            count = 2**depth
            colours = rng.integers(0, 256, (count, 3)).astype(np.uint8)
            table = b"".join(bytes([b, g, r, 0]) for r, g, b in colours)
            index = picture(width, height, 1)[..., 0] * count // 256
            data = bmp(width, height, depth, rows(index, depth), table=table)
            yield f"{size}-palette-{depth}", data, rgb(colours[index].astype(np.int64))
    samples = picture()
    whole = joined(samples, (16, 8, 0), (8, 8, 8))
    yield "top-down", bmp(17, -13, 24, rows(whole, 24, True)), rgb(samples)
    yield "os2", bmp(17, 13, 24, rows(whole, 24), size=12), rgb(samples)
    unused = whole | 0x55 << 24
    yield "32", bmp(17, 13, 32, rows(unused, 32)), rgb(samples)
    for name, shifts, depths in (("555", (10, 5, 0), (5, 5, 5)), ("565", (11, 5, 0), (5, 6, 5))):
        masks = struct.pack("<III", *((2**d - 1) << s for s, d in zip(shifts, depths)))
        data = rows(joined(samples, shifts, depths), 16)
        right = widened(samples, depths)
        yield f"16-{name}-fields", bmp(17, 13, 16, data, FIELDS, masks=masks), right
        if name == "555":
            yield "16", bmp(17, 13, 16, data), right
    transparent = picture(channels=4)
    data = rows(joined(transparent, (16, 8, 0, 24), (8, 8, 8, 8)), 32)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    right = rgb(transparent, alpha="straight")
    for size in (108, 124):
        yield f"32-alpha-v{size}", bmp(17, 13, 32, data, FIELDS, masks=masks, size=size), right
    yield from run_lengths(rng)


def run_lengths(rng):
    colours = rng.integers(0, 256, (16, 3)).astype(np.uint8)
    table = b"".join(bytes([b, g, r, 0]) for r, g, b in colours)
    index = picture(channels=1)[..., 0] * 16 // 256
    index[:, 5:12] = 3
    for depth, compression in ((8, RLE8), (4, RLE4)):
        data = b""
        for row in index[::-1]:
            at = 0
            while at < 17:
                length = next(n for n in range(17 - at, 0, -1) if len(set(row[at : at + n])) == 1)
                value = int(row[at])
                data += bytes([length, value if depth == 8 else value << 4 | value])
                at += length
            data += b"\0\0"
        data = bmp(17, 13, depth, data + b"\0\1", compression, table=table)
        yield f"rle-{depth}", data, rgb(colours[index].astype(np.int64))


def gifs():
    rng = np.random.default_rng(6)
    for width, height in SIZES:
        image = Image.fromarray(picture(width, height).astype(np.uint8)).quantize(32)
        for interlaced in (0, 1):
            data = saved(image, "GIF", interlace=interlaced)
            name = f"{width}x{height}{'-interlaced' if interlaced else ''}"
            yield name, data, np.array(image.convert("RGB"))
    indices = Image.fromarray(rng.integers(0, 4, (13, 17)).astype(np.uint8), "P")
    indices.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    right = np.array(indices.convert("RGB"))
    transparent = saved(indices, "GIF", transparency=2)
    right[np.array(indices) == 2] = 255
    yield "transparent", transparent, right
    data = saved(indices, "GIF", save_all=True, append_images=[indices.rotate(180)], duration=50)
    yield "animated", data, np.array(indices.convert("RGB"))
    # A first frame smaller than the screen: the rest is transparent, as browsers show it.
    plain = saved(indices, "GIF")
    frame = plain.index(b"\x2c\0\0\0\0")
    offset = plain[:6] + struct.pack("<HH", 21, 16) + plain[10:frame]
    offset += b"\x2c" + struct.pack("<HH", 3, 2) + plain[frame + 5 :]
    right = np.full((16, 21, 3), 255, np.uint8)
    right[2:15, 3:20] = np.array(indices.convert("RGB"))
    yield "offset-frame", offset, right
    yield from overhanging_frames(indices)


def overhanging_frames(indices):
    """First frames that do not fit on the screen, which Pillow enlarges to hold them.

    The frame has transparent pixels, so that Pillow, too, takes what it leaves bare as transparent.
    """
    first = saved(indices, "GIF", transparency=2)
    later = saved(indices, "GIF", transparency=2, save_all=True, duration=50,
                  append_images=[indices.rotate(180)])  # fmt: skip
    for name, screen, offset in (
        ("wider", (9, 13), (0, 0)), ("taller", (17, 5), (0, 0)), ("both", (1, 1), (0, 0)),
        ("right", (17, 13), (6, 0)), ("below", (17, 13), (0, 4)), ("corner", (10, 9), (8, 7)),
        ("no-screen", (0, 0), (0, 0)), ("no-screen-right", (0, 0), (3, 2)),
        ("inside", (30, 20), (5, 6)),
    ):  # fmt: skip
        for kind, data in (("", first), ("-animated", later)):
            frame = data.index(b"\x2c\0\0\0\0")
            changed = data[:6] + struct.pack("<HH", *screen) + data[10:frame]
            changed += b"\x2c" + struct.pack("<HH", *offset) + data[frame + 5 :]
            yield f"frame-{name}{kind}", changed, opened(changed)
    frame = first.index(b"\x2c\0\0\0\0")
    far = first[: frame + 1] + struct.pack("<HH", 65530, 0) + first[frame + 5 :]
    yield "refused-frame-beyond", far, "a frame that ends behind 65535 pixels"


def webps():
    for width, height in SIZES:
        samples = picture(width, height).astype(np.uint8)
        transparent = picture(width, height, 4).astype(np.uint8)
        for name, pixels in (("", samples), ("-alpha", transparent)):
            for kind, options in (
                ("lossy", {"quality": 80}),
                ("lossless", {"lossless": True, "exact": True}),
            ):
                data = saved(pixels, "WEBP", **options)
                yield f"{width}x{height}-{kind}{name}", data, opened(data)
    frames = [Image.fromarray(picture(channels=4).astype(np.uint8))]
    frames.append(frames[0].rotate(180))
    for kind, options in (("lossless", {"lossless": True, "exact": True}), ("lossy", {})):
        out = io.BytesIO()
        frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=50, **options)
        yield f"animated-{kind}", out.getvalue(), opened(out.getvalue())
    for kind, options in (("lossless", {"lossless": True, "exact": True}), ("lossy", {})):
        for name, channels in (("", 3), ("-alpha", 4)):
            part = bitstream(saved(picture(9, 6, channels), "WEBP", **options))
            for background, colour in (("", bytes(4)), ("-background", bytes([90, 60, 30, 255]))):
                data = animation((17, 13), (4, 2), (9, 6), part, colour, channels == 4)
                yield f"animated-part-{kind}{name}{background}", data, opened(data)
                # A header that promises no transparency, and a frame that has some.
                if channels == 4:
                    data = animation((17, 13), (4, 2), (9, 6), part, colour, False)
                    yield f"animated-part-{kind}-hidden{name}{background}", data, opened(data)


def chunk(tag, data):
    """A chunk of a RIFF file."""
    return tag + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def bitstream(data):
    """The chunks of a still WebP that hold its pixels."""
    chunks, at = b"", 12
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        end = at + 8 + size + size % 2
        if data[at : at + 4] in (b"ALPH", b"VP8 ", b"VP8L"):
            chunks += data[at:end]
        at = end
    return chunks


def animation(canvas, position, size, part, background, has_alpha):
    """An animation (RFC 9649, section 2.7) of one frame that is smaller than its canvas.

    The background is blue, green, red and alpha.
    """

    def integers(*values):
        return b"".join(struct.pack("<I", value)[:3] for value in values)

    flags = 0x02 | (0x10 if has_alpha else 0)
    canvas = bytes([flags, 0, 0, 0]) + integers(canvas[0] - 1, canvas[1] - 1)
    places = integers(position[0] // 2, position[1] // 2, size[0] - 1, size[1] - 1, 50)
    body = b"WEBP" + chunk(b"VP8X", canvas) + chunk(b"ANIM", background + bytes(2))
    body += chunk(b"ANMF", places + bytes(1) + part)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def cases():
    for folder, group in (("bmp", bitmaps), ("gif", gifs), ("webp", webps)):
        for name, data, right in group():
            yield f"{folder}/{name}.{folder}", data, right
