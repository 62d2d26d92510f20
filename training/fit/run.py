"""The state that a training step keeps on disk, so that it can be interrupted."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import jax
import optax

from training.fit.curve import Curve
from training.fit.params import Params


@dataclass
class Run:
    """The resumable state of a training step."""

    params: Params
    optimizer_state: optax.OptState
    step: int
    seconds: float
    curve: Curve

    def save(self, path: Path) -> None:
        """Write atomically, so that an interrupted run leaves the last whole state."""
        state = jax.device_get((self.params, self.optimizer_state))
        partial = path.with_suffix(".partial")
        curve = (self.curve.columns, self.curve.rows)
        partial.write_bytes(pickle.dumps((state, self.step, self.seconds, curve)))
        partial.replace(path)
        self.curve.save(path)

    @classmethod
    def resume(
        cls, path: Path, params: Params, optimizer_state: optax.OptState, columns: tuple[str, ...]
    ) -> "Run":
        """The state in `path`; where there is none, a new one."""
        if path.exists():
            return cls.load(path)
        return cls(params, optimizer_state, 0, 0.0, Curve((*columns, "minutes")))

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Read what `save` wrote."""
        state, step, seconds, curve = pickle.loads(path.read_bytes())
        params, optimizer_state = cast(tuple[Params, optax.OptState], state)
        return cls(params, optimizer_state, step, seconds, Curve(*curve))
