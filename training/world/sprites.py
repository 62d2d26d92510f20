"""Sprites: what stands in a picture, as premultiplied RGBA on the 8-pixel token grid."""

import math
from functools import cache

import numpy as np
from jaxtyping import Float

from training.paths import work_file
from training.world.concepts import concept_index, load_concepts
from training.world.shapes import PATCH, coverage

LARGE, MIDDLE, SMALL = ICON_CELLS = (14, 8, 6)
"""The sides, in tokens, that an icon is drawn at."""

Sprite = Float[np.ndarray, "side side 4"]


@cache
def _icons(cells: int) -> Float[np.ndarray, "icons side side 4"]:
    side = cells * PATCH
    path, shape = work_file(f"icons-{side}.rgba"), (len(load_concepts()), side, side, 4)
    found = path.stat().st_size if path.exists() else 0
    if found != math.prod(shape):
        raise ValueError(
            f"{path} has {found} bytes and not the {math.prod(shape)} of {shape[0]} icons with"
            f" {side} x {side} pixels: run node training/world/icons.mjs (its SIDES need {side})"
        )
    raw = np.fromfile(path, dtype=np.uint8)
    icons = raw.reshape(shape).astype(np.float32) / 255.0
    icons[..., :3] *= icons[..., 3:]
    return icons


def icon_sprite(icon: str, cells: int) -> Sprite:
    """An icon, `cells` tokens wide."""
    return _icons(cells)[concept_index()[icon]]


@cache
def shape_sprite(shape: str, ink: tuple[int, int, int], cells: int) -> Sprite:
    """A shape filled with an sRGB colour (0..255), `cells` tokens wide."""
    cover = coverage(shape, cells)[..., None]
    return np.concatenate([cover * np.array(ink, dtype=np.float32) / 255.0, cover], axis=-1)


def sprite_patches(sprite: Sprite) -> Float[np.ndarray, "cells cells 256"]:
    """Cut a sprite into its 8x8 patches, row by row; a patch is 64 RGBA pixels."""
    cells = sprite.shape[0] // PATCH
    cut = sprite.reshape(cells, PATCH, cells, PATCH, 4).transpose(0, 2, 1, 3, 4)
    return cut.reshape(cells, cells, PATCH * PATCH * 4)
