"""Images for the bodies that Schemathesis makes, and a check of its own.

Without images every request would be refused.
"""

import base64
import struct
import zlib

import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode


def png(width, height):
    """A PNG with a gradient."""
    pixels = ((x * 7 + y * 13 + channel * 50) % 256 for y in range(height) for x in range(width)
              for channel in range(3))  # fmt: skip
    data = bytes(pixels)
    rows = b"".join(b"\0" + data[y * width * 3 : (y + 1) * width * 3] for y in range(height))

    def chunk(tag, content):
        checksum = struct.pack(">I", zlib.crc32(tag + content))
        return struct.pack(">I", len(content)) + tag + content + checksum

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


FILES = [png(8, 8), png(33, 17)]
FILE = st.sampled_from(FILES) | st.binary(max_size=64)
TEXT = base64.b64encode(FILES[0]).decode()

schemathesis.openapi.media_type("image/png", FILE, aliases=["image/*"])
schemathesis.openapi.media_type("application/octet-stream", FILE)


def with_image(value):
    """The value with an image wherever a body has one."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name in ("image", "b64", "data", "body") and isinstance(member, (str, bytes)):
                value[name] = TEXT if isinstance(member, str) else FILES[0]
            else:
                with_image(member)
    elif isinstance(value, list):
        for member in value:
            with_image(member)
    return value


# Options that a form may also write as 1, yes, on and their opposites, which no schema says.
BOOLEANS = ("negate", "signed", "emphasize")


def without_spellings(body):
    """A body whose booleans are true, false or wrong."""
    for name in BOOLEANS if isinstance(body, dict) else ():
        if str(body.get(name)).lower() in ("0", "1", "yes", "no", "on", "off"):
            body[name] = "perhaps"
    return body


@schemathesis.hook
def map_body(context, body):
    body = without_spellings(body)
    # An odd sum keeps some bodies without one.
    return with_image(body) if len(repr(body)) % 4 else body


# Options whose texts have a syntax that the schema leaves open: lists of names between commas.
NAMES = {"layer", "target", "contrast", "methods"}
OPERATIONS = {"explain", "compare", "predict"}


@schemathesis.check
def refusals_are_about_combinations(context, response, case):
    """A valid request is refused with 400 only for what its options mean together.

    Each option's value is valid by its schema, so "it takes …" would mean that schema and server
    disagree, and "there is no option" that the document has one too many.
    """
    operation = case.operation.definition.raw.get("operationId")
    is_valid = case.meta and case.meta.generation.mode is GenerationMode.POSITIVE
    if response.status_code != 400 or operation not in OPERATIONS or not is_valid:
        return
    problem = response.json()
    option, detail = problem.get("option"), problem["detail"]
    if option == "image" or option in NAMES:
        return
    for words in ("; it takes ", "there is no option", "could not be read"):
        assert words not in detail, f"a valid request is refused: {option}: {detail}"
