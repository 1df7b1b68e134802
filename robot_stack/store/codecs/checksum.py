"""The last four bytes of a chunk of lossy frames: a checksum, so that damage is found and never shown as a picture.

It is the zarr v3 codec `crc32c`, which every zarr reader has.
"""

import google_crc32c

from robot_stack.types import StoreError

METADATA = {"name": "crc32c"}
_SIZE = 4


def seal(content: bytes) -> bytes:
    """`content` followed by its CRC-32C, little end first."""
    return content + _crc(content)


def unseal(chunk: bytes | memoryview) -> bytes:
    """The inverse of `seal`; StoreError when a bit of the chunk has changed."""
    chunk = bytes(chunk)
    content = chunk[:-_SIZE]
    if len(chunk) <= _SIZE or _crc(content) != chunk[-_SIZE:]:
        raise StoreError(f"a chunk of {len(chunk)} bytes is damaged: its checksum is wrong")
    return content


def _crc(content: bytes) -> bytes:
    value: int = google_crc32c.value(content)
    return value.to_bytes(_SIZE, "little")
