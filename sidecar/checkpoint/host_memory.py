"""Memory for the arrays of a checkpoint."""

import math

import numpy as np

DEVICE_ALIGNMENT = 64
BLOCK_BYTES = 64 << 20
HUGE_PAGE_BYTES = 2 << 20


class HostMemory:
    """Cuts arrays from large blocks; a block lives as long as any of its arrays.

    An array of its own for each leaf would be on small pages at both ends, a third of a checkpoint
    in all, and getting a page, of whichever size, is what takes the time. NumPy asks for huge pages
    for large arrays.
    """

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Uninitialised, aligned so that JAX's CPU device can use it in place, without a copy."""
        size = math.prod(shape) * dtype.itemsize
        if self._used + size > self._block.size:
            self._block = _aligned_block(max(size, BLOCK_BYTES))
            self._used = 0
        array = self._block[self._used : self._used + size].view(dtype).reshape(shape)
        self._used += -(-size // DEVICE_ALIGNMENT) * DEVICE_ALIGNMENT
        return array


def _aligned_block(size: int) -> np.ndarray:
    raw = np.empty(size + HUGE_PAGE_BYTES, np.uint8)
    start = -raw.ctypes.data % HUGE_PAGE_BYTES
    return raw[start : start + size]
