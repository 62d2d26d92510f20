"""Muon and AdamW for the training steps, and the schedule of their rates."""

from typing import cast

import jax
import optax

from training.fit.params import Params


def rate_scale(step: int, steps: int, warm_up: int, decay_share: float) -> float:
    """Share of the full rates at a step.

    Linear warm-up, plateau, linear decay over the last `decay_share`. The caller multiplies the
    updates by it, instead of the optimiser: a run that goes on with another number of steps then
    needs no new compilation.
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


def apply_scaled(params: Params, updates: optax.Updates, scale: jax.Array) -> Params:
    """Parameters after a share of the updates."""
    scaled = jax.tree.map(lambda update: update * scale, updates)
    return cast(Params, optax.apply_updates(params, scaled))
