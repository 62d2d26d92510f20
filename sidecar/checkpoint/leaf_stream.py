"""Reads the arrays of indexed parameter files one after the other, and hashes the files."""

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from blake3 import blake3
from ml_dtypes import bfloat16

from sidecar.checkpoint.host_memory import HostMemory
from sidecar.checkpoint.msgpack_index import Leaf, LeafPath
from sidecar.checkpoint.weight_files import CheckpointError

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

    Reads small pieces, into their place where they need no cast. A second thread hashes and checks
    a few of them while the first goes on, so what is wrong with a piece is known a few pieces
    later, and at `finish` at the latest.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = iter(files)
        self._digest = blake3()
        self._memory = HostMemory()

    def __enter__(self) -> "LeafStream":
        self._open(next(self._files))
        self._examiner = ThreadPoolExecutor(1)
        self._pieces = deque(memoryview(bytearray(PIECE_BYTES)) for _ in range(PIECES))
        self._unknown: deque[Future[None]] = deque()
        return self

    def __exit__(self, *_: object) -> None:
        self._examiner.shutdown()
        self._file.close()

    def read(
        self, name: LeafPath, leaf: Leaf, shape: tuple[int, ...], dtype: np.dtype
    ) -> Iterator[np.ndarray]:
        """The leaf as `dtype`, cut along its first axis into arrays of `shape` unless it has that.

        Raises:
            CheckpointError: NaN or infinity, here or just before, or a file is shorter than when it
                was indexed.
        """
        sizes = self._piece_sizes(leaf, math.prod(shape))
        for _ in range(1 if leaf.shape == shape else leaf.shape[0]):
            part = self._memory.empty(shape, dtype)
            flat, filled = part.reshape(-1), 0
            while filled < flat.size:
                count = next(sizes)
                self._fill(flat[filled : filled + count], name, leaf)
                filled += count
            yield part

    def finish(self) -> str:
        """Hash the rest of the files; the BLAKE3 of all their bytes, file after file, in hex.

        Raises:
            CheckpointError: NaN or infinity in the last pieces, or a file was cut short.
        """
        self._pass_to_end()
        for path in self._files:
            self._go_on_with(path)
            self._pass_to_end()
        while self._unknown:
            self._unknown.popleft().result()
        return self._digest.hexdigest()

    def _piece_sizes(self, leaf: Leaf, part_size: int) -> Iterator[int]:
        """How many numbers to read next, the file being before them; none reaches over a part."""
        while self._path != leaf.file:
            self._pass_to_end()
            self._go_on_with(next(self._files))
        left_of_part = part_size
        for offset, length in leaf.spans:
            self._pass_to(offset)
            left = length // leaf.dtype.itemsize
            while left:
                size = min(left, left_of_part, PIECE_BYTES // leaf.dtype.itemsize)
                yield size
                left, left_of_part = left - size, left_of_part - size or part_size

    def _fill(self, target: np.ndarray, name: LeafPath, leaf: Leaf) -> None:
        """Read the next numbers into their place, at once where they are of its type already."""
        if target.dtype == leaf.dtype:
            self._read(target.view(np.uint8).data, (name, leaf))
            return
        bytes_ = self._next_piece()[: target.size * leaf.dtype.itemsize]
        self._read(bytes_, (name, leaf))
        cast_into(target, np.frombuffer(bytes_, leaf.dtype))

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
            self._read(self._next_piece()[: offset - self._position])

    def _next_piece(self) -> memoryview:
        """Memory for some bytes of the file, good until `PIECES` - 1 more reads."""
        self._pieces.rotate(-1)
        return self._pieces[-1]

    def _read(self, bytes_: memoryview, of: tuple[LeafPath, Leaf] | None = None) -> None:
        """Fill `bytes_` with the next bytes of the file, of a leaf or none."""
        if len(self._unknown) == PIECES:
            self._unknown.popleft().result()
        if self._file.readinto(bytes_) != len(bytes_):
            raise CheckpointError(f"{self._path}: cut short while it was read")
        self._unknown.append(self._examiner.submit(self._examine, bytes_, of))
        self._position += len(bytes_)

    def _examine(self, bytes_: memoryview, of: tuple[LeafPath, Leaf] | None) -> None:
        """In the second thread."""
        self._digest.update(bytes_)
        if of is None:
            return
        name, leaf = of
        if not is_finite(np.frombuffer(bytes_, leaf.dtype)):
            raise CheckpointError(f"{leaf.file}: {'/'.join(name)} holds NaN or infinity")


def is_finite(numbers: np.ndarray) -> bool:
    """Whether all numbers are finite; NumPy's own test of 16-bit types takes ten times longer."""
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
