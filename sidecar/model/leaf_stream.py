"""Reads the arrays of an indexed `flax_model.msgpack` one after the other, and hashes the file with them."""

import hashlib
import math
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import numpy as np

from sidecar.model.msgpack_file import CheckpointError, Leaf

DEVICE_ALIGNMENT = 64
# Small enough that the hash finds in the processor's cache what was just read.
PIECE_BYTES = 1 << 20


class LeafStream:
    """Reads arrays in the order of the file and hashes every byte of it on the way.

    Holds one part of one array at a time; a second pass for the hash would cost as much as loading.
    """

    def __init__(self, path: Path, file: BufferedReader) -> None:
        self._path = path
        self._file = file
        self._digest = hashlib.sha256()
        self._position = 0

    def read(self, leaf: Leaf, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """The leaf cut along its first axis into arrays of `shape`; uncut if that is its own shape.

        Raises:
            CheckpointError: the file is shorter than when it was indexed.
        """
        spans = iter(leaf.spans)
        left = 0
        for _ in range(1 if leaf.shape == shape else leaf.shape[0]):
            part = empty_aligned(shape, leaf.dtype)
            buffer = part.reshape(-1).view(np.uint8).data
            while buffer:
                if left == 0:
                    offset, left = next(spans)
                    self._pass_to(offset)
                size = min(left, len(buffer), PIECE_BYTES)
                self._read_into(buffer[:size])
                buffer, left = buffer[size:], left - size
            yield part

    def finish(self) -> str:
        """Hash the rest of the file; the file's sha256 in hex."""
        self._pass_to(self._path.stat().st_size)
        return self._digest.hexdigest()

    def _pass_to(self, offset: int) -> None:
        while self._position < offset:
            size = min(offset - self._position, PIECE_BYTES)
            self._read_into(memoryview(bytearray(size)))

    def _read_into(self, buffer: memoryview) -> None:
        if self._file.readinto(buffer) != len(buffer):
            raise CheckpointError(f"{self._path}: cut short while it was read")
        self._digest.update(buffer)
        self._position += len(buffer)


def empty_aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialised memory that JAX's CPU device can use in place, without a copy of its own."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + DEVICE_ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % DEVICE_ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)
