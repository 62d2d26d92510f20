"""Pictures of a checkpoint, drawn by the product's own engine."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sidecar.loading import load_checkpoint
from sidecar.wire.messages import SamplingSettings

SLOTS = 8

Pixels = UInt8[np.ndarray, "side side 3"]


class Painter:
    """A checkpoint in the product's engine."""

    def __init__(self, folder: Path) -> None:
        self._checkpoint = load_checkpoint(folder, precision="float32", slots=SLOTS)
        self._engine = self._checkpoint.create_engine(slots=SLOTS, chunk_tokens=64)
        self.defaults = self._checkpoint.found.sampling

    def paint(self, texts: list[str], settings: SamplingSettings, seed: int) -> list[Pixels]:
        """One picture a text, in order; text i has seed `seed + i`."""
        requests = [
            self._checkpoint.create_request(str(number), text, seed + number, settings)
            for number, text in enumerate(texts)
        ]
        done = {image.task_id: image.pixels for image in self._engine.draw_all(requests)}
        return [done[request.task_id] for request in requests]
