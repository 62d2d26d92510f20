"""What the two training steps share: the optimiser and its schedule, resumable state, loss curves."""

import csv
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import jax
import optax
from PIL import Image, ImageDraw

Params = dict[str, object]


def rate_scale(step: int, steps: int, warm_up: int, decay_share: float) -> float:
    """Share of the full rates at a step: linear warm-up, plateau, linear decay over the last `decay_share`.

    The caller multiplies the updates by it, instead of the optimiser: a run that goes on with another number of
    steps then needs no new compilation.
    """
    decay = max(steps * decay_share, 1)
    return min(1.0, (step + 1) / warm_up, max(steps - step, 0) / decay)


def build_optimizer(
    muon_rate: float, adam_rate: float, max_norm: float
) -> optax.GradientTransformation:
    """Muon on the matrices inside layers (and on convolution kernels), AdamW on everything else."""

    def dimensions(path: tuple[jax.tree_util.KeyEntry, ...], value: jax.Array):
        names = [str(getattr(key, "key", key)) for key in path]
        if names[-1] != "kernel" or "lm_head" in names or min(value.shape[-2:]) < 32:
            return None
        inputs = tuple(range(value.ndim - 1))
        return optax.contrib.MuonDimensionNumbers(inputs, value.ndim - 1)

    def per_leaf(tree: optax.Params):
        return jax.tree_util.tree_map_with_path(dimensions, tree)

    return optax.chain(
        optax.clip_by_global_norm(max_norm),
        optax.contrib.muon(
            optax.constant_schedule(muon_rate),
            adam_learning_rate=optax.constant_schedule(adam_rate),
            adam_b2=0.98,
            muon_weight_dimension_numbers=per_leaf,
        ),
    )


@dataclass
class Curve:
    """Loss values by step; written as CSV and as a small PNG."""

    columns: tuple[str, ...]
    rows: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, step: int, values: Mapping[str, float]) -> str:
        """Keep one row; returns it as a progress line."""
        self.rows.append((step, *(values[name] for name in self.columns)))
        return f"step {step:5d}  " + "  ".join(
            f"{name} {values[name]:.4f}" for name in self.columns
        )

    def last(self, column: str) -> float:
        """The newest value of a column."""
        return self.rows[-1][1 + self.columns.index(column)]

    def save(self, path: Path) -> None:
        """Write `path`.csv and `path`.png."""
        with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("step", *self.columns))
            writer.writerows(self.rows)
        _plot(self.rows, self.columns).save(path.with_suffix(".png"))


_INKS = ((220, 35, 40), (35, 85, 215), (40, 165, 70), (120, 70, 30))


def _plot(rows: list[tuple[float, ...]], columns: tuple[str, ...]) -> Image.Image:
    """Each column over the steps, every column scaled to its own largest value."""
    picture = Image.new("RGB", (640, 320), "white")
    pen = ImageDraw.Draw(picture)
    last = max(rows[-1][0], 1)
    for index, name in enumerate(columns, start=1):
        top = max(max(row[index] for row in rows), 1e-9)
        points = [(10 + 620 * row[0] / last, 310 - 290 * row[index] / top) for row in rows]
        ink = _INKS[(index - 1) % len(_INKS)]
        pen.line(points, fill=ink, width=2)
        pen.text((400, 14 * index), f"{name} (top {top:.3g}, last {rows[-1][index]:.3g})", fill=ink)
    return picture


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
        partial.write_bytes(pickle.dumps((state, self.step, self.seconds, self.curve)))
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
        """Read a state this program wrote."""
        state, step, seconds, curve = pickle.loads(path.read_bytes())
        params, optimizer_state = cast(tuple[Params, optax.OptState], state)
        return cls(params, optimizer_state, step, seconds, curve)


class Clock:
    """Seconds since it was made; added to what earlier runs took."""

    def __init__(self, before: float) -> None:
        self._start = time.monotonic() - before

    def seconds(self) -> float:
        """Total seconds so far."""
        return time.monotonic() - self._start


def apply_scaled(params: Params, updates: optax.Updates, scale: jax.Array) -> Params:
    """Parameters after a share of the updates."""
    return optax.apply_updates(params, jax.tree.map(lambda update: update * scale, updates))


def count_parameters(params: Params) -> int:
    """How many numbers a parameter tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
