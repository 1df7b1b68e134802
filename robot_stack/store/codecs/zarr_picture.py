"""What the codecs of the zarr library that this package brings have in common. Only that library imports this."""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration


class Compressor(Protocol):
    """What stands behind a zarr codec: whole chunks, without the checksum, which zarr's own codec `crc32c` adds."""

    def compress(self, frames: NDArray[Any]) -> bytes:
        """Pictures (n, h, w, 3) to bytes."""
        ...

    def decompress(self, content: bytes, out: NDArray[Any]) -> None:
        """The inverse, into `out` (n, h, w, 3)."""
        ...


@dataclass(frozen=True, init=False)
class PictureCodec(ArrayBytesCodec):
    """Chunks (n, height, width, 3) of uint8. `settings` is what the metadata says in `configuration`."""

    settings: tuple[tuple[str, JSON], ...]
    key: ClassVar[str]
    is_fixed_size = False

    def __init__(self, **settings: JSON) -> None:
        object.__setattr__(self, "settings", tuple(settings.items()))

    def compressor(self, chunk_shape: tuple[int, ...]) -> Compressor:
        """What does the work for chunks of this shape."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """From an entry in the `codecs` of an array's metadata."""
        _, settings = parse_named_configuration(data, cls.key, require_configuration=False)
        return cls(**(settings or {}))

    def to_dict(self) -> dict[str, JSON]:
        """The inverse of `from_dict`."""
        return {"name": self.key, "configuration": dict(self.settings)}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Nobody knows before a picture is compressed."""
        raise NotImplementedError

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        out = np.zeros(chunk_spec.shape, np.uint8)
        self.compressor(chunk_spec.shape).decompress(chunk_bytes.to_bytes(), out)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(out)

    def _encode_sync(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        content = self.compressor(chunk_spec.shape).compress(chunk_array.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(content)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)
