"""What the decoder needs of the latest prompts, kept within a number of bytes.

The images of one job arrive one after the other: its prompt is read once.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Int32

from sidecar.engine.slots import Prompt

Ids: TypeAlias = Int32[np.ndarray, "T"]


class PromptCache:
    """Prompts by their ids and mask; the one used longest ago goes first."""

    def __init__(self, compute: Callable[[Ids, Ids], Prompt], most_bytes: int) -> None:
        """
        Args:
            compute: what is remembered, for one that is not.
            most_bytes: of all prompts together; a larger one is not kept at all.
        """
        self._compute = compute
        self._most_bytes = most_bytes
        self._bytes = 0
        self._prompts: OrderedDict[bytes, Prompt] = OrderedDict()

    def get(self, ids: Ids, mask: Ids) -> Prompt:
        """A prompt, remembered or computed."""
        key = ids.tobytes() + mask.tobytes()
        prompt = self._prompts.pop(key, None)
        if prompt is None:
            prompt = self._compute(ids, mask)
            self._bytes += _count_bytes(prompt)
        self._prompts[key] = prompt
        while self._bytes > self._most_bytes:
            _, oldest = self._prompts.popitem(last=False)
            self._bytes -= _count_bytes(oldest)
        return prompt

    def clear(self) -> bool:
        """Forget everything; whether there was anything."""
        had_any = bool(self._prompts)
        self._prompts.clear()
        self._bytes = 0
        return had_any


def _count_bytes(prompt: Prompt) -> int:
    return sum(part.nbytes for part in jax.tree.leaves(prompt))
