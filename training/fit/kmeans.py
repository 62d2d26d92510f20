"""k-means on many points, in float32 matrix products."""

import jax
import numpy as np
from jaxtyping import Array, Float, Int

Points = Float[np.ndarray, "points width"]

_BLOCK = 4096


@jax.jit
def _nearest(
    points: Float[Array, "block width"], centers: Float[Array, "centers width"]
) -> tuple[Int[Array, "block"], Float[Array, "block"]]:
    distance = (centers**2).sum(axis=1) - 2 * points @ centers.T
    return distance.argmin(axis=1), distance.min(axis=1) + (points**2).sum(axis=1)


def assign(
    points: Points, centers: Float[np.ndarray, "centers width"]
) -> tuple[Int[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """The nearest center of each point, and the squared distance to it."""
    blocks = [_nearest(points[i : i + _BLOCK], centers) for i in range(0, len(points), _BLOCK)]
    nearest, distance = zip(*jax.device_get(blocks), strict=True)
    return np.concatenate(nearest), np.concatenate(distance)


def cluster(
    points: Points, count: int, rounds: int, seed: int
) -> Float[np.ndarray, "centers width"]:
    """Lloyd's rounds from random points.

    A center that loses all its points moves to the point that is farthest from its own.
    """
    random = np.random.default_rng(seed)
    centers = points[random.choice(len(points), count, replace=False)].copy()
    for _ in range(rounds):
        nearest, distance = assign(points, centers)
        members = np.bincount(nearest, minlength=count)
        sums = np.zeros_like(centers)
        np.add.at(sums, nearest, points)
        empty = np.flatnonzero(members == 0)
        centers = sums / np.maximum(members, 1)[:, None]
        centers[empty] = points[np.argsort(-distance)[: len(empty)]]
    return centers
