"""Step `codebook`: choose the image tokens by k-means over 8x8 patches of sprites.

A token never says what is behind a thing: an edge code is a patch with its transparency, and the
decoder paints the uncovered part in the colour of the background codes around it. So a cat has the
same codes on every background, and the codes of shapes (an ink and what part of the patch it
covers) serve all backgrounds too.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from training.fit.kmeans import assign, cluster
from training.paths import work_file
from training.world.concepts import load_concepts
from training.world.scenes import COLOUR_NAMES, COLOURS, SHADES, Scene, background_rgb
from training.world.shapes import CELLS, GRID, SHAPES, coverage, to_patches
from training.world.sprites import ICON_CELLS, icon_sprite, sprite_patches

OUTLINES = 80
"""Outline classes of shapes; each has a code in every ink."""

ICON_CODES = 4096
EMBED_DIM = 64
ROUNDS = 12
SEED = 0

GROUND_CODES = len(COLOUR_NAMES) * len(SHADES)
_FIRST_OUTLINE = GROUND_CODES + len(COLOUR_NAMES)
FIRST_ICON = _FIRST_OUTLINE + len(COLOUR_NAMES) * OUTLINES

_SEE_THROUGH = -1
_CLEAR = 0.01
"""A patch covered less than this shows only background; one uncovered less than this, only ink."""

Stamp = Int[np.ndarray, "cells cells"]


@dataclass(frozen=True)
class Codebook:
    """What the tokens look like.

    In order: backgrounds, plain inks, outlines of each ink, patches of icons.
    """

    outlines: Float[np.ndarray, "outlines 64"]
    """Coverage (0..1) of the outline classes."""

    icons: Float[np.ndarray, "codes 256"]
    """Premultiplied RGBA patches (0..1)."""

    @classmethod
    def load(cls, path: Path | None = None) -> "Codebook":
        """Read what the step wrote."""
        with np.load(path or work_file("codebook.npz")) as arrays:
            return cls(arrays["outlines"], arrays["icons"])

    @property
    def size(self) -> int:
        """How many image tokens there are."""
        return FIRST_ICON + len(self.icons)

    def tokens(self, scene: Scene) -> Int[np.ndarray, "256"]:
        """The image tokens of a scene, row by row."""
        ground = COLOUR_NAMES.index(scene.background) * len(SHADES) + scene.shade
        grid = np.full((GRID, GRID), ground, dtype=np.int32)
        for thing in scene.things:
            stamp = self._stamp(thing.name, thing.colour, thing.cells)
            part = grid[thing.y : thing.y + thing.cells, thing.x : thing.x + thing.cells]
            np.copyto(part, stamp, where=stamp != _SEE_THROUGH)
        return grid.reshape(-1)

    def is_plain(self, tokens: Int[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Which tokens are a plain colour."""
        return tokens < _FIRST_OUTLINE

    def is_ground(self, tokens: Int[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Which tokens are background."""
        return tokens < GROUND_CODES

    def features(self) -> Float[np.ndarray, "codes 264"]:
        """How codes differ: an RGBA patch (256), then a background's colour and presence (8)."""
        ink = np.array(list(COLOURS.values()), dtype=np.float32)[:, None] / 255.0
        plain = np.concatenate(
            [np.broadcast_to(ink, (len(ink), 64, 3)), np.ones((len(ink), 64, 1))], 2
        )
        cover = self.outlines[:, :, None]
        mixed = [np.concatenate([colour * cover, cover], axis=2) for colour in ink]
        patches = np.concatenate([plain, *mixed]).reshape(-1, 256)
        shades = product(COLOUR_NAMES, range(len(SHADES)))
        grounds = np.array([background_rgb(*shade) for shade in shades], dtype=np.float32) / 255.0
        rows = np.zeros((self.size, 264), dtype=np.float32)
        rows[:GROUND_CODES, 256:259] = 8 * grounds
        rows[:GROUND_CODES, 259:] = 4
        rows[GROUND_CODES:FIRST_ICON, :256] = patches
        rows[FIRST_ICON:, :256] = self.icons
        return rows

    def embedding(self) -> Float[np.ndarray, "codes 64"]:
        """Vectors of upstream's `quantize` table.

        The features in PCA coordinates, their spectrum flattened by a root.
        """
        features = self.features()
        left, spread, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
        vectors = left[:, :EMBED_DIM] * np.sqrt(spread[:EMBED_DIM])
        return (vectors / vectors.std()).astype(np.float32)

    def _stamp(self, name: str, colour: str | None, cells: int) -> Stamp:
        if colour is None:
            return self._icon_stamps[name, cells]
        classes = self._shape_classes[name, cells]
        ink = COLOUR_NAMES.index(colour)
        outline = _FIRST_OUTLINE + ink * OUTLINES + classes
        inside = np.where(classes == OUTLINES, GROUND_CODES + ink, outline)
        return np.where(classes == _SEE_THROUGH, _SEE_THROUGH, inside).astype(np.int32)

    @cached_property
    def _shape_classes(self) -> dict[tuple[str, int], Stamp]:
        """Outline class of every token of every shape and size; OUTLINES is the inside."""
        found: dict[tuple[str, int], Stamp] = {}
        for shape, cells in product(SHAPES, CELLS):
            patches = to_patches(coverage(shape, cells))
            classes, _ = assign(patches.reshape(-1, 64), self.outlines)
            cover = patches.mean(axis=-1).reshape(-1)
            classes = np.where(cover > 1 - _CLEAR, OUTLINES, classes)
            classes = np.where(cover < _CLEAR, _SEE_THROUGH, classes)
            found[shape, cells] = classes.reshape(cells, cells).astype(np.int32)
        return found

    @cached_property
    def _icon_stamps(self) -> dict[tuple[str, int], Stamp]:
        """Tokens of every icon and size."""
        found: dict[tuple[str, int], Stamp] = {}
        for concept, cells in product(load_concepts(), ICON_CELLS):
            patches = sprite_patches(icon_sprite(concept.icon, cells)).reshape(-1, 256)
            nearest, _ = assign(patches, self.icons)
            codes = np.where(_is_clear(patches), _SEE_THROUGH, FIRST_ICON + nearest)
            found[concept.icon, cells] = codes.reshape(cells, cells).astype(np.int32)
        return found


def _is_clear(patches: Float[np.ndarray, "patches 256"]) -> Bool[np.ndarray, "patches"]:
    return patches.reshape(-1, 64, 4)[..., 3].mean(axis=1) < _CLEAR


def outline_patches() -> Float[np.ndarray, "patches 64"]:
    """All patches of all shapes and sizes that hold a piece of outline."""
    cut = [to_patches(coverage(s, c)).reshape(-1, 64) for s, c in product(SHAPES, CELLS)]
    patches = np.concatenate(cut)
    cover = patches.mean(axis=1)
    return patches[(cover >= _CLEAR) & (cover <= 1 - _CLEAR)]


@cache
def icon_patches() -> Float[np.ndarray, "patches 256"]:
    """All patches of all icons and sizes that show something."""
    pairs = product(load_concepts(), ICON_CELLS)
    cut = [sprite_patches(icon_sprite(c.icon, cells)).reshape(-1, 256) for c, cells in pairs]
    patches = np.concatenate(cut)
    return patches[~_is_clear(patches)]


def main() -> None:
    """Cluster and write training/work/codebook.npz."""
    masks = outline_patches()
    tries = [cluster(masks, OUTLINES, 60, SEED + start) for start in range(8)]
    outlines = min(tries, key=lambda centers: assign(masks, centers)[1].sum())
    patches = icon_patches()
    icons = cluster(patches, ICON_CODES, ROUNDS, SEED)
    np.savez(work_file("codebook.npz"), outlines=outlines, icons=icons)
    error = assign(patches, icons)[1].mean() / patches.shape[1]
    print(f"{len(masks)} outline patches in {OUTLINES} classes, {len(patches)} icon patches in "
          f"{ICON_CODES} codes: {-10 * np.log10(error):.1f} dB")  # fmt: skip
    print(f"{Codebook(outlines, icons).size} image tokens")


if __name__ == "__main__":
    main()
