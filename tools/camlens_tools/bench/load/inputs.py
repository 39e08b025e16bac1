"""The pictures that are sent: ordinary ones, large ones, and bombs."""

import struct
import zlib

from camlens_tools.paths import PICTURES

# What most clients send: a photograph as a JPEG, 112 kB.
PHOTO = PICTURES / "rocket.jpg"


def photo():
    return PHOTO.read_bytes()


def png_chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, extra=()):
    """A PNG of grey stripes, 8 bits a colour, which compresses to little."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes([y // 64 % 256]) * (3 * width) for y in range(height))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            *(png_chunk(kind, data) for kind, data in extra),
            png_chunk(b"IDAT", deflated(rows)),
            png_chunk(b"IEND", b""),
        ]
    )


def deflated(parts):
    compressor = zlib.compressobj(6)
    return b"".join(map(compressor.compress, parts)) + compressor.flush()


def profile_bomb():
    """A PNG of 64 × 64 pixels with a colour profile that inflates to 800 MB."""
    megabyte = bytes(1 << 20)
    profile = b"profile\0\0" + deflated(megabyte for _ in range(800))
    return png(64, 64, [(b"iCCP", profile)])


def webp_bomb():
    """34 bytes: the header of a lossless WebP of 50 megapixels, and no image."""
    width, height = 7071, 7071
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + bytes(9)
    body = b"WEBPVP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bombs():
    """Pairs of a name and the bytes of a picture."""
    return (
        ("WebP header of 50 Mpx, 34 bytes", webp_bomb()),
        ("PNG, profile of 800 MB", profile_bomb()),
        ("PNG of 50 Mpx", png(7000, 7142)),
    )
