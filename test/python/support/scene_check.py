"""Looks at the pixels of an image and says whether it shows what a sentence asked for.

Knows neither the model nor how it was trained: pixels are named after the nearest colour of a
palette, and backgrounds, colours, places and outlines are read off from that. Positions and sizes
are fractions of the side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

Palette = Mapping[str, tuple[int, int, int]]
Mask = Bool[np.ndarray, "height width"]

# Fractions of the image (or of a thing's square); generous enough for blurred edges, too small
# for a wrong shape.
_FOREIGN_LIMIT = 0.02
_LEAST_FILL = 0.15
_OUTLINE_GRID = 32


@dataclass(frozen=True)
class Thing:
    """One thing that was asked for; `x`, `y` is its middle and `size` the side of its square."""

    shape: str
    colour: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Sentence:
    """A sentence and one scene that its image may show."""

    text: str
    background: str
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Verdict:
    """What the image got right. `shapes` compares outlines; false wherever `positions` is."""

    background: bool
    colours: bool
    positions: bool
    shapes: bool

    @property
    def follows(self) -> bool:
        """Background, colours and positions are as asked."""
        return self.background and self.colours and self.positions


def read_sentence(entry: Mapping[str, Any]) -> list[Sentence]:
    """One entry of `sentences` in nano-sentences.json: once for each scene that it allows."""
    return [
        Sentence(entry["text"], entry["background"], tuple(Thing(**thing) for thing in things))
        for things in entry["scenes"]
    ]


def judge_best(
    image: UInt8[np.ndarray, "height width 3"], allowed: list[Sentence], palette: Palette
) -> Verdict:
    """The best verdict over the scenes that are allowed ("a red star" may stand anywhere)."""
    verdicts = [judge(image, sentence, palette) for sentence in allowed]
    return max(verdicts, key=lambda verdict: (verdict.follows, verdict.shapes, verdict.colours))


def judge(
    image: UInt8[np.ndarray, "height width 3"], sentence: Sentence, palette: Palette
) -> Verdict:
    """Compare an image with its sentence."""
    names = name_pixels(image, palette)
    numbers = {name: number for number, name in enumerate(palette)}
    clear = _undisturbed(names)
    ground = numbers[sentence.background]
    things = [
        (thing, names == numbers[thing.colour], _region(names.shape, thing))
        for thing in sentence.things
    ]
    wanted = [ground, *(numbers[thing.colour] for thing in sentence.things)]
    foreign = clear & ~np.isin(names, wanted)
    stray = clear & (names != ground) & ~np.logical_or.reduce([place for _, _, place in things])
    colours = all(_is_present(mask & clear, thing) for thing, mask, _ in things)
    positions = all(_stands_at(mask & clear & place, thing) for thing, mask, place in things)
    positions = positions and bool(things) and bool(stray.mean() <= _FOREIGN_LIMIT)
    shapes = all(nearest_shape(mask & place) == thing.shape for thing, mask, place in things)
    return Verdict(
        background=border_colour(names) == ground,
        colours=colours and bool(foreign.mean() <= _FOREIGN_LIMIT),
        positions=positions,
        shapes=positions and shapes,
    )


def name_pixels(
    image: UInt8[np.ndarray, "height width 3"], palette: Palette
) -> Int[np.ndarray, "height width"]:
    """Index of the nearest palette colour of each pixel."""
    colours = np.array(list(palette.values()), dtype=np.float32)
    distance = ((image.astype(np.float32)[:, :, None, :] - colours) ** 2).sum(axis=-1)
    return distance.argmin(axis=-1)


def border_colour(names: Int[np.ndarray, "height width"]) -> int:
    """The commonest name among the outermost two rows and columns."""
    frame = np.concatenate(
        [names[:2].ravel(), names[-2:].ravel(), names[:, :2].ravel(), names[:, -2:].ravel()]
    )
    return int(np.bincount(frame).argmax())


def nearest_shape(mask: Mask) -> str:
    """The reference shape that overlaps most with the mask, both fitted to their bounding boxes."""
    if not mask.any():
        return "nothing"
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    steps = (np.arange(_OUTLINE_GRID) + 0.5) / _OUTLINE_GRID
    down = (rows[0] + steps * (rows[-1] + 1 - rows[0])).astype(int)
    along = (columns[0] + steps * (columns[-1] + 1 - columns[0])).astype(int)
    fitted = mask[np.ix_(down, along)]
    x, y = np.meshgrid(2 * steps - 1, 2 * steps - 1)

    def overlap(shape: str) -> float:
        reference = SHAPES[shape](x, y)
        return float((fitted & reference).sum() / (fitted | reference).sum())

    return max(SHAPES, key=overlap)


def _undisturbed(names: Int[np.ndarray, "height width"]) -> Mask:
    """Pixels named like their eight neighbours: a blend on an edge can look like a third colour."""
    padded = np.pad(names, 1, mode="edge")
    height, width = names.shape
    shifts = [(row, column) for row in range(3) for column in range(3)]
    return np.logical_and.reduce(
        [padded[r : r + height, c : c + width] == names for r, c in shifts]
    )


def _region(shape: tuple[int, ...], thing: Thing) -> Mask:
    """The thing's square with a margin of a sixteenth of the side."""
    y, x = ((np.arange(length) + 0.5) / length for length in shape)
    reach = thing.size / 2 + 1 / 16
    return (abs(y - thing.y) <= reach)[:, None] & (abs(x - thing.x) <= reach)[None, :]


def _is_present(mask: Mask, thing: Thing) -> bool:
    return bool(mask.mean() >= _LEAST_FILL * thing.size**2)


def _stands_at(mask: Mask, thing: Thing) -> bool:
    """Enough of the colour, its middle where the thing's should be."""
    if not _is_present(mask, thing):
        return False
    rows, columns = np.nonzero(mask)
    y, x = (rows.mean() + 0.5) / mask.shape[0], (columns.mean() + 0.5) / mask.shape[1]
    # The centroid of a triangle or a crescent is not the middle of its square.
    tolerance = 0.05 + 0.09 * thing.size
    return abs(x - thing.x) <= tolerance and abs(y - thing.y) <= tolerance


Coordinates = Float[np.ndarray, "grid grid"]


def _star(x: Coordinates, y: Coordinates) -> Bool[np.ndarray, "grid grid"]:
    """Five points; bounding box x -0.95..0.95 and y -1..0.81 of the unit circle."""
    x, y = x * 0.95, (y + 1) * 0.905 - 1
    turn = np.abs((np.arctan2(x, -y) / (2 * np.pi) * 5 + 0.5) % 1 - 0.5) * 2
    radius, inner = np.hypot(x, y), 0.42
    # Along the edge from a tip (turn 0) to a notch (turn 1), in polar coordinates.
    angle, half = turn * np.pi / 5, np.pi / 5
    edge = (
        inner
        * np.sin(half)
        / (np.sin(angle) * (1 - inner * np.cos(half)) + inner * np.sin(half) * np.cos(angle))
    )
    return radius <= edge


def _heart(x: Coordinates, y: Coordinates) -> Bool[np.ndarray, "grid grid"]:
    """The sextic heart curve, scaled to its bounding box."""
    x, y = x * 1.14, 0.12 - y * 1.12
    return (x**2 + y**2 - 1) ** 3 - x**2 * y**3 <= 0


SHAPES: Mapping[str, Callable[[Coordinates, Coordinates], Bool[np.ndarray, "grid grid"]]] = {
    "circle": lambda x, y: np.hypot(x, y) <= 1,
    "square": lambda x, y: np.ones(x.shape, dtype=bool),
    "triangle": lambda x, y: np.abs(x) <= (y + 1) / 2,
    "star": _star,
    "diamond": lambda x, y: np.abs(x) + np.abs(y) <= 1,
    "heart": _heart,
    "ring": lambda x, y: (np.hypot(x, y) <= 1) & (np.hypot(x, y) >= 0.54),
    "cross": lambda x, y: (np.abs(x) <= 0.34) | (np.abs(y) <= 0.34),
    "hexagon": lambda x, y: np.abs(x) <= 1 - np.abs(y) / 2,
    "moon": lambda x, y: (
        (np.hypot(x * 0.82 - 0.18, y) <= 1) & (np.hypot(x * 0.82 - 0.72, y) >= 0.81)
    ),
}
"""Reference outlines over a bounding box of -1..1, y downwards."""
