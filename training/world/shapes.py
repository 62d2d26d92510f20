"""The shapes: antialiased coverage masks, aligned to the 8-pixel token grid."""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

PATCH = 8
"""Side of one token's patch in pixels."""

GRID = 16
"""Tokens along one side of the picture."""

SIDE = PATCH * GRID
"""Side of the picture in pixels."""

CELLS = (4, 6, 8, 12)
"""The sides, in tokens, that a shape is drawn at."""

_OVERSAMPLING = 8

Point = tuple[float, float]
Polygon = list[Point]


def _regular(corners: int, radius: float = 1.0, turn: float = 0.0) -> Polygon:
    angles = [turn + 2 * np.pi * corner / corners - np.pi / 2 for corner in range(corners)]
    return [(radius * float(np.cos(angle)), radius * float(np.sin(angle))) for angle in angles]


def _star() -> Polygon:
    outer = _regular(5, 1.0)
    inner = _regular(5, 0.42, np.pi / 5)
    points = [point for pair in zip(outer, inner, strict=True) for point in pair]
    return [(x, y + 0.06) for x, y in points]


def _heart() -> Polygon:
    """The classic parametric heart, scaled into the unit square."""
    steps = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x = 16 * np.sin(steps) ** 3
    y = 13 * np.cos(steps) - 5 * np.cos(2 * steps) - 2 * np.cos(3 * steps) - np.cos(4 * steps)
    return [(float(a) / 17, -(float(b) + 2.5) / 16.2) for a, b in zip(x, y, strict=True)]


def _cross() -> Polygon:
    arm, end = 0.32, 0.94
    return [
        (-arm, -end), (arm, -end), (arm, -arm), (end, -arm), (end, arm), (arm, arm),
        (arm, end), (-arm, end), (-arm, arm), (-end, arm), (-end, -arm), (-arm, -arm),
    ]  # fmt: skip


# Each shape adds polygons (True) and cuts polygons away (False) inside the square -1..1.
_OUTLINES: dict[str, Callable[[], list[tuple[bool, Polygon]]]] = {
    "circle": lambda: [(True, _regular(96, 0.96))],
    "square": lambda: [(True, [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)])],
    "triangle": lambda: [(True, [(0.0, -0.92), (0.98, 0.84), (-0.98, 0.84)])],
    "star": lambda: [(True, _star())],
    "diamond": lambda: [(True, [(0.0, -0.98), (0.74, 0.0), (0.0, 0.98), (-0.74, 0.0)])],
    "heart": lambda: [(True, _heart())],
    "ring": lambda: [(True, _regular(96, 0.96)), (False, _regular(96, 0.52))],
    "cross": lambda: [(True, _cross())],
    "hexagon": lambda: [(True, _regular(6, 0.98, np.pi / 6))],
    "moon": lambda: [
        (True, [(x + 0.08, y) for x, y in _regular(96, 0.96)]),
        (False, [(x + 0.60, y) for x, y in _regular(96, 0.78)]),
    ],
}

SHAPES = tuple(_OUTLINES)
"""Names of all shapes."""


@cache
def coverage(shape: str, cells: int) -> Float[np.ndarray, "side side"]:
    """How much of each pixel the shape covers (0..1), for a shape `cells` tokens wide."""
    side = cells * PATCH * _OVERSAMPLING
    canvas = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(canvas)
    for adds, polygon in _OUTLINES[shape]():
        points = [((x + 1) * side / 2, (y + 1) * side / 2) for x, y in polygon]
        pen.polygon(points, fill=255 if adds else 0)
    small = canvas.resize((cells * PATCH, cells * PATCH), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255.0


def to_patches(mask: Float[np.ndarray, "side side"]) -> Float[np.ndarray, "cells cells 64"]:
    """Cut a mask into its 8x8 patches, row by row."""
    cells = mask.shape[0] // PATCH
    cut = mask.reshape(cells, PATCH, cells, PATCH).transpose(0, 2, 1, 3)
    return cut.reshape(cells, cells, PATCH * PATCH)
