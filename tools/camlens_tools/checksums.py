"""SHA-256 of files."""

import hashlib


def sha256_of(path):
    """The hexadecimal digest of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def matches(path, sha256):
    """Whether the file exists and has this digest."""
    return path.is_file() and sha256_of(path) == sha256
