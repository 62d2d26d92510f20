"""Pictures of a checkpoint, drawn by the product's own engine."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from sidecar.checkpoint.folder import load_weights, open_checkpoint, open_text
from sidecar.engine.engine import Engine, SlotRequest
from sidecar.wire.messages import SamplingSettings

SLOTS = 8

Pixels = UInt8[np.ndarray, "side side 3"]


class Painter:
    """A checkpoint in the product's engine."""

    def __init__(self, folder: Path) -> None:
        found = open_checkpoint(folder)
        self.defaults = found.sampling
        self._text = open_text(found)
        empty = self._text.unconditional()
        dtype = jnp.dtype("float32")
        self._engine = Engine(
            found,
            load_weights(found, dtype),
            (empty.ids, empty.mask),
            slots=SLOTS,
            chunk_tokens=64,
            dtype=dtype,
        )

    def paint(self, texts: list[str], settings: SamplingSettings, seed: int) -> list[Pixels]:
        """One picture a text, in order; text i has seed `seed + i`."""
        done: dict[str, Pixels] = {}
        waiting = list(enumerate(texts))
        while len(done) < len(texts):
            while waiting and self._engine.free_slots:
                number, text = waiting.pop(0)
                encoded = self._text.encode(text)
                self._engine.admit(
                    SlotRequest(str(number), encoded.ids, encoded.mask, seed + number, settings)
                )
            for picture in self._engine.step():
                done[picture.task_id] = picture.pixels
        return [done[str(number)] for number in range(len(texts))]
