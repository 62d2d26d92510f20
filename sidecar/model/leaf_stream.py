"""Reads the arrays of indexed parameter files one after the other, and hashes the files with them."""

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
from blake3 import blake3
from ml_dtypes import bfloat16

from sidecar.model.msgpack_file import Leaf, LeafPath
from sidecar.weight_files import CheckpointError

DEVICE_ALIGNMENT = 64
# Small enough that what is done to a piece finds it in the processor's cache.
PIECE_BYTES = 1 << 20
PIECES = 4

# The bits that are all set in NaN and infinity, and an integer of the same width.
_EXPONENT = {
    np.dtype(np.float32): (np.uint32, 0x7F800000),
    np.dtype(np.float16): (np.uint16, 0x7C00),
    np.dtype(bfloat16): (np.uint16, 0x7F80),
}


class LeafStream:
    """Reads arrays in the order of the files; one pass checks, casts and hashes.

    Holds a few small pieces of a file at a time. A second thread hashes and checks them while the first
    makes the arrays, so what is wrong with a piece is known a few pieces later, and at `finish` at the latest.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = iter(files)
        self._digest = blake3()

    def __enter__(self) -> "LeafStream":
        self._open(next(self._files))
        self._examiner = ThreadPoolExecutor(1)
        self._pieces = deque(_Piece() for _ in range(PIECES))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._examiner.shutdown()
        self._file.close()

    def read(
        self, name: LeafPath, leaf: Leaf, shape: tuple[int, ...], dtype: np.dtype
    ) -> Iterator[np.ndarray]:
        """The leaf as `dtype`, cut along its first axis into arrays of `shape`; uncut if that is its own.

        Raises:
            CheckpointError: NaN or infinity, here or just before, or a file is shorter than when it was
                indexed.
        """
        numbers = self._read_numbers(name, leaf, math.prod(shape))
        for _ in range(1 if leaf.shape == shape else leaf.shape[0]):
            part = empty_aligned(shape, dtype)
            flat, filled = part.reshape(-1), 0
            while filled < flat.size:
                piece = next(numbers)
                cast_into(flat[filled : filled + piece.size], piece)
                filled += piece.size
            yield part

    def finish(self) -> str:
        """Hash the rest of the files; the BLAKE3 of all their bytes, one file after the other, in hex.

        Raises:
            CheckpointError: NaN or infinity in the last pieces, or a file was cut short.
        """
        self._pass_to_end()
        for path in self._files:
            self._go_on_with(path)
            self._pass_to_end()
        for piece in self._pieces:
            piece.wait()
        return self._digest.hexdigest()

    def _read_numbers(self, name: LeafPath, leaf: Leaf, part_size: int) -> Iterator[np.ndarray]:
        """The leaf's numbers in pieces, none of which reaches over the end of a part."""
        while self._path != leaf.file:
            self._pass_to_end()
            self._go_on_with(next(self._files))
        left_of_part = part_bytes = part_size * leaf.dtype.itemsize
        for offset, length in leaf.spans:
            self._pass_to(offset)
            while length:
                size = min(length, left_of_part, PIECE_BYTES)
                bytes_ = self._read_piece(size, (name, leaf))
                yield np.frombuffer(bytes_, leaf.dtype)
                length, left_of_part = length - size, left_of_part - size or part_bytes

    def _open(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._position = 0

    def _go_on_with(self, path: Path) -> None:
        self._file.close()
        self._open(path)

    def _pass_to_end(self) -> None:
        self._pass_to(os.fstat(self._file.fileno()).st_size)

    def _pass_to(self, offset: int) -> None:
        while self._position < offset:
            self._read_piece(min(offset - self._position, PIECE_BYTES))

    def _read_piece(self, size: int, of: tuple[LeafPath, Leaf] | None = None) -> memoryview:
        """The next bytes of the file, of a leaf or none, good until `PIECES` - 1 more were read."""
        piece = self._pieces[0]
        self._pieces.rotate(-1)
        piece.wait()
        bytes_ = memoryview(piece.memory)[:size]
        if self._file.readinto(bytes_) != size:
            raise CheckpointError(f"{self._path}: cut short while it was read")
        piece.examined = self._examiner.submit(self._examine, bytes_, of)
        self._position += size
        return bytes_

    def _examine(self, bytes_: memoryview, of: tuple[LeafPath, Leaf] | None) -> None:
        """In the second thread."""
        self._digest.update(bytes_)
        if of is None:
            return
        name, leaf = of
        if not is_finite(np.frombuffer(bytes_, leaf.dtype)):
            raise CheckpointError(f"{leaf.file}: {'/'.join(name)} holds NaN or infinity")


class _Piece:
    """Memory for some bytes of the file, and when it is free again."""

    def __init__(self) -> None:
        self.memory = bytearray(PIECE_BYTES)
        self.examined: Future[None] | None = None

    def wait(self) -> None:
        """Until it is free again; raises what was wrong with its bytes."""
        if self.examined is not None:
            self.examined.result()


def empty_aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Uninitialised memory that JAX's CPU device can use in place, without a copy of its own."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + DEVICE_ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % DEVICE_ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def is_finite(numbers: np.ndarray) -> bool:
    """Whether no number is NaN or infinite; NumPy's own test of the 16-bit types takes ten times longer."""
    integer, exponent = _EXPONENT[numbers.dtype]
    mask = integer(exponent)
    return not bool((numbers.view(integer) & mask == mask).any())


def cast_into(target: np.ndarray, numbers: np.ndarray) -> None:
    """Fill `target` with numbers, rounding finite ones to the nearest, ties to even."""
    if target.dtype != bfloat16 or numbers.dtype == bfloat16:
        np.copyto(target, numbers, casting="unsafe")
        return
    # NumPy casts to bfloat16 number by number; on the bits it takes a quarter of the time.
    bits = numbers.astype(np.float32, copy=False).view(np.uint32)
    bits = bits + ((bits >> np.uint32(16) & np.uint32(1)) + np.uint32(0x7FFF))
    np.right_shift(bits, np.uint32(16), out=target.view(np.uint16), casting="unsafe")
