"""The loop that the three training steps share, and its options."""

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np
import optax

from training.fit.optimizer import rate_scale
from training.fit.params import Params
from training.fit.run import Run

REPORT_EVERY, SAVE_EVERY = 20, 50

Batch = TypeVar("Batch")
Measured = tuple[jax.Array, ...]
Update = Callable[[Params, optax.OptState, Batch, float], tuple[Params, optax.OptState, Measured]]
"""One step with a share of the full rates.

Parameters, optimiser state, batch and share in; the new parameters and state, and figures, out.
"""


class Schedule(NamedTuple):
    """How far to train, and the rates on the way; see `rate_scale`."""

    steps: int
    warm_up: int
    decay_share: float


def train_on(
    run: Run,
    path: Path,
    schedule: Schedule,
    update: Update[Batch],
    next_batch: Callable[[], Batch],
    describe: Callable[[list[float]], Mapping[str, float]],
) -> None:
    """Train `run` up to the last step, with progress lines, a curve, and its state saved in `path`.

    Args:
        update: one step; what it measures is averaged between reports.
        describe: the columns of the curve, but for the minutes, from those averages.
    """
    started = time.monotonic() - run.seconds
    recent: list[tuple[float, ...]] = []
    while run.step < schedule.steps:
        scale = rate_scale(run.step, schedule.steps, schedule.warm_up, schedule.decay_share)
        run.params, run.optimizer_state, measured = update(
            run.params, run.optimizer_state, next_batch(), scale
        )
        run.step += 1
        recent.append(tuple(float(value) for value in jax.device_get(measured)))
        is_last = run.step == schedule.steps
        if run.step % REPORT_EVERY == 0 or is_last:
            run.seconds = time.monotonic() - started
            means = np.mean(recent, axis=0).tolist()
            print(
                run.curve.add(run.step, {**describe(means), "minutes": run.seconds / 60}),
                flush=True,
            )
            recent.clear()
        if run.step % SAVE_EVERY == 0 or is_last:
            run.save(path)


def step_parser(
    description: str | None,
    steps: int,
    batch: int,
    muon_rate: float = 0.02,
    adam_rate: float = 2e-3,
) -> argparse.ArgumentParser:
    """The options of a training step, with its own defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--muon-rate", type=float, default=muon_rate)
    parser.add_argument("--adam-rate", type=float, default=adam_rate)
    return parser
