"""Step `codebook`: choose the image tokens by k-means over 8x8 patches.

Flat patches get a code for each colour. The patches of an outline are clustered by what part of them the
shape covers, so that all pairs of colours share one set of outline codes: a purple star is then told with
the codes of a purple circle, and a pair of shape and colour that was never shown can still be drawn.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from training.paths import work_file
from training.scenes import COLOUR_NAMES, COLOURS, Scene
from training.shapes import CELLS, GRID, SHAPES, coverage, to_patches

OUTLINES = 30
"""Outline classes for each pair of colours; closed under exchanging the two colours."""

EMBED_DIM = 64
ROUNDS = 60
SEED = 0

# Classes of a mask patch before colours are known: background, inside, then the outlines.
_OUTSIDE, _INSIDE, _FIRST_OUTLINE = 0, 1, 2

_PAIRS = {pair: index for index, pair in enumerate(combinations(range(len(COLOUR_NAMES)), 2))}

Masks = Float[np.ndarray, "patches 64"]


@dataclass(frozen=True)
class Codebook:
    """Outline masks (coverage of 0..1, 8x8 pixels) and what follows from them.

    Row k of `outlines` and row k + OUTLINES/2 are each other's complement.
    """

    outlines: Float[np.ndarray, "outlines 64"]

    @classmethod
    def load(cls, path: Path | None = None) -> "Codebook":
        """Read what the step wrote."""
        return cls(np.load(path or work_file("codebook.npy")))

    @property
    def size(self) -> int:
        """How many image tokens there are."""
        return len(COLOUR_NAMES) + len(_PAIRS) * len(self.outlines)

    @cached_property
    def _stamps(self) -> dict[tuple[str, int], Int[np.ndarray, "cells cells"]]:
        """Mask class of every token of every shape and size."""
        return {
            (shape, cells): self._classify(to_patches(coverage(shape, cells)))
            for shape in SHAPES
            for cells in CELLS
        }

    @cached_property
    def _tokens_by_class(self) -> Int[np.ndarray, "colours colours classes"]:
        """Token of a mask class, by colour of the thing and colour of the background."""
        count, half = len(COLOUR_NAMES), len(self.outlines) // 2
        table = np.zeros((count, count, _FIRST_OUTLINE + 2 * half), dtype=np.int32)
        outlines = np.arange(2 * half)
        for ink in range(count):
            for ground in range(count):
                table[ink, ground, _OUTSIDE] = ground
                table[ink, ground, _INSIDE] = ink
                if ink != ground:
                    first = count + _PAIRS[min(ink, ground), max(ink, ground)] * 2 * half
                    # The codes of a pair say how much the colour with the higher number covers.
                    covered = outlines if ink > ground else (outlines + half) % (2 * half)
                    table[ink, ground, _FIRST_OUTLINE:] = first + covered
        return table

    def tokens(self, scene: Scene) -> Int[np.ndarray, "256"]:
        """The image tokens of a scene, row by row."""
        ground = COLOUR_NAMES.index(scene.background)
        grid = np.full((GRID, GRID), ground, dtype=np.int32)
        for thing in scene.things:
            ink = COLOUR_NAMES.index(thing.colour)
            stamp = self._tokens_by_class[ink, ground][self._stamps[thing.shape, thing.cells]]
            grid[thing.y : thing.y + thing.cells, thing.x : thing.x + thing.cells] = stamp
        return grid.reshape(-1)

    def is_plain(self, tokens: Int[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Which tokens are a plain colour."""
        return tokens < len(COLOUR_NAMES)

    def parts(self) -> Int[np.ndarray, "codes 3"]:
        """What each token is made of: its two colours and its outline class (the last class: plain)."""
        count = len(COLOUR_NAMES)
        plain = [(colour, colour, len(self.outlines)) for colour in range(count)]
        mixed = [(low, high, k) for low, high in _PAIRS for k in range(len(self.outlines))]
        return np.array(plain + mixed, dtype=np.int32)

    def patches(self) -> Float[np.ndarray, "codes 64 3"]:
        """The 8x8 RGB patch (0..1) that each token stands for."""
        colours = np.array(list(COLOURS.values()), dtype=np.float32) / 255.0
        plain = np.broadcast_to(colours[:, None, :], (len(colours), 64, 3))
        mask = self.outlines[:, :, None]
        mixed = [colours[low] * (1 - mask) + colours[high] * mask for low, high in _PAIRS]
        return np.concatenate([plain, *mixed]).astype(np.float32)

    def embedding(self) -> Float[np.ndarray, "codes 64"]:
        """Vectors of upstream's `quantize` table: patches in PCA coordinates, spectrum flattened by a root."""
        patches = self.patches().reshape(self.size, -1)
        centered = patches - patches.mean(axis=0)
        left, spread, _ = np.linalg.svd(centered, full_matrices=False)
        vectors = left[:, :EMBED_DIM] * np.sqrt(spread[:EMBED_DIM])
        return (vectors / vectors.std()).astype(np.float32)

    def _classify(
        self, patches: Float[np.ndarray, "cells cells 64"]
    ) -> Int[np.ndarray, "cells cells"]:
        distance = ((patches[..., None, :] - self.outlines) ** 2).sum(axis=-1)
        classes = distance.argmin(axis=-1) + _FIRST_OUTLINE
        cover = patches.mean(axis=-1)
        classes[cover < _FLAT] = _OUTSIDE
        classes[cover > 1 - _FLAT] = _INSIDE
        return classes.astype(np.int32)


_FLAT = 0.01
"""A patch covered less than this (or uncovered less than this) is told as plain."""


def outline_patches() -> Masks:
    """All patches of all shapes and sizes that hold a piece of outline."""
    cut = [to_patches(coverage(s, c)).reshape(-1, 64) for s in SHAPES for c in CELLS]
    patches = np.concatenate(cut)
    cover = patches.mean(axis=1)
    return patches[(cover >= _FLAT) & (cover <= 1 - _FLAT)]


def cluster(patches: Masks, count: int, seed: int) -> tuple[Masks, float]:
    """k-means with centers in complementary pairs; returns the centers and the mean squared error."""
    half = count // 2
    both = np.concatenate([patches, 1 - patches])
    random = np.random.default_rng(seed)
    centers = _spread_out(both, half, random)
    error = np.inf
    for _ in range(ROUNDS):
        distance = ((both[:, None] - centers) ** 2).mean(axis=-1)
        nearest = distance.argmin(axis=1)
        error = float(distance.min(axis=1).mean())
        for index in range(half):
            own, mirrored = both[nearest == index], 1 - both[nearest == index + half]
            members = np.concatenate([own, mirrored])
            center = members.mean(axis=0) if len(members) else both[int(distance.min(1).argmax())]
            centers[index], centers[index + half] = center, 1 - center
    return centers.astype(np.float32), error


def _spread_out(patches: Masks, half: int, random: np.random.Generator) -> Masks:
    """k-means++ start: each next center far from those before it and from their complements."""
    centers = [patches[int(random.integers(len(patches)))]]
    for _ in range(half - 1):
        known = np.stack(centers + [1 - center for center in centers])
        distance = ((patches[:, None] - known) ** 2).sum(axis=-1).min(axis=1)
        chosen = int(random.choice(len(patches), p=distance / distance.sum()))
        centers.append(patches[chosen])
    return np.concatenate([np.stack(centers), 1 - np.stack(centers)])


def main() -> None:
    """Cluster from several starts, keep the best, write training/work/codebook.npy."""
    patches = outline_patches()
    runs = [cluster(patches, OUTLINES, SEED + start) for start in range(8)]
    outlines, error = min(runs, key=lambda run: run[1])
    np.save(work_file("codebook.npy"), outlines)
    codebook = Codebook(outlines)
    print(f"{len(patches)} outline patches, {OUTLINES} outline classes, mask error {error:.4f}")
    print(f"{codebook.size} image tokens, embedding {codebook.embedding().shape}")


if __name__ == "__main__":
    main()
