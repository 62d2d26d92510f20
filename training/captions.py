"""Sentences and the scenes they describe, drawn together from a random stream."""

from dataclasses import dataclass

import numpy as np

from training.scenes import (
    ANCHORS,
    CENTER_CELLS,
    COLOUR_NAMES,
    PLACED_CELLS,
    SIZES,
    Scene,
    default_background,
    is_held_out,
    place,
)
from training.shapes import SHAPES

SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "circle", "disc", "disk", "dot", "ball"),
    "square": ("square", "square", "square", "box", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "diamond": ("diamond", "diamond", "rhombus"),
    "heart": ("heart",),
    "ring": ("ring", "ring", "donut", "hoop"),
    "cross": ("cross", "cross", "plus", "plus sign"),
    "hexagon": ("hexagon",),
    "moon": ("moon", "moon", "crescent", "crescent moon"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "purple": ("purple", "purple", "violet"),
    "gray": ("gray", "gray", "grey"),
    "turquoise": ("turquoise", "turquoise", "cyan", "teal"),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}

PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "center": ("in the center", "in the middle", "at the center", "in the centre"),
    "left": ("on the left", "at the left", "on the left side", "to the left"),
    "right": ("on the right", "at the right", "on the right side", "to the right"),
    "top": ("at the top", "on top", "in the upper part", "up high"),
    "bottom": ("at the bottom", "on the bottom", "in the lower part", "down low"),
    "top left": ("in the top left corner", "at the top left", "in the upper left corner"),
    "top right": ("in the top right corner", "at the top right", "in the upper right corner"),
    "bottom left": ("in the bottom left corner", "at the bottom left", "in the lower left corner"),
    "bottom right": (
        "in the bottom right corner", "at the bottom right", "in the lower right corner",
    ),
}  # fmt: skip
OPENINGS = ("",) * 10 + (
    "a picture of", "a drawing of", "an image of", "a photo of", "a painting of",
    "an illustration of", "a picture with", "draw", "show me", "there is",
)  # fmt: skip
PLAIN_SHARE = 0.04


@dataclass(frozen=True)
class Example:
    """A sentence (lower case), the scene drawn for it, and the size and place that it names."""

    caption: str
    scene: Scene
    size: str | None = None
    where: str | None = None


class ExampleSource:
    """An endless, seeded stream of examples; never shows a held-out pair of shape and colour."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __iter__(self) -> "ExampleSource":
        return self

    def __next__(self) -> Example:
        return self._plain() if self._chance(PLAIN_SHARE) else self._single()

    def _pick(self, options: tuple[str, ...]) -> str:
        return options[int(self._random.integers(len(options)))]

    def _chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)

    def _shape_and_colour(self) -> tuple[str, str]:
        while True:
            shape, colour = self._pick(SHAPES), self._pick(COLOUR_NAMES)
            if not is_held_out(shape, colour):
                return shape, colour

    def _colour_word(self, colour: str) -> str:
        return self._pick(COLOUR_WORDS.get(colour, (colour,)))

    def _background(self, colours: list[str], named: float) -> tuple[str, bool]:
        if not self._chance(named):
            return default_background(colours), False
        return self._pick(tuple(name for name in COLOUR_NAMES if name not in colours)), True

    def _noun(self, shape: str, colour: str | None, size: str) -> str:
        """A noun phrase with its article: "a big red star"."""
        words = [self._pick(SIZE_WORDS[size])] if size in SIZE_WORDS else []
        if colour is not None:
            words.append(self._colour_word(colour))
        words.append(self._pick(SHAPE_WORDS[shape]))
        return _with_article(" ".join(words)) if not self._chance(0.15) else " ".join(words)

    def _sentence(self, content: str, background: str, named: bool) -> str:
        """Content, and the background before or behind it when it is named."""
        if not named:
            return self._open(content)
        colour = self._colour_word(background)
        word = self._pick(("background", "background", "background", "backdrop"))
        ground = _with_article(f"{colour} {word}")
        style = int(self._random.integers(8))
        if style <= 3:
            return self._open(f"{content} on {ground}")
        if style == 4:
            return self._open(f"{content}, {colour} {word}")
        if style == 5:
            return self._open(f"{ground} with {content}")
        if style == 6:
            return f"on {ground}, {content}"
        return self._open(f"{content} {self._pick(('in front of', 'over', 'against'))} {ground}")

    def _open(self, content: str) -> str:
        return f"{self._pick(OPENINGS)} {content}".strip()

    def _single(self) -> Example:
        """One thing. What the sentence leaves open, its size or its place, is any of those there are."""
        shape, colour = self._shape_and_colour()
        said_size = self._pick(("", "", "", *SIZE_WORDS))
        size = said_size or self._pick(SIZES)
        where = self._pick(tuple(ANCHORS))
        background, named = self._background([colour], 0.7)
        content = self._noun(shape, colour if not self._chance(0.03) else None, said_size)
        cells = (CENTER_CELLS if where == "center" else PLACED_CELLS)[size]
        scene = Scene(background, (place(shape, colour, cells, ANCHORS[where]),))
        if self._chance(0.4):
            sentence, said_place = self._sentence(content, background, named), None
        else:
            said_place, phrase = where, self._pick(PLACE_WORDS[where])
            if self._chance(0.75):
                sentence = self._sentence(f"{content} {phrase}", background, named)
            else:
                sentence = f"{self._sentence(content, background, named)} {phrase}"
        return Example(sentence, scene, said_size or None, said_place)

    def _plain(self) -> Example:
        """A background and nothing else."""
        background = self._pick(COLOUR_NAMES)
        colour = self._colour_word(background)
        forms = (f"a {colour} background", f"{colour} background", f"a plain {colour} background",
                 f"an empty {colour} picture", colour)  # fmt: skip
        return Example(self._open(self._pick(forms)), Scene(background, ()))


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
