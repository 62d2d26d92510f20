"""Words and turns of phrase that all captions share, picked from a seeded stream."""

from typing import TypeVar

import numpy as np

from training.language.english import with_article
from training.world.concepts import letters_of_names

OPENINGS = ("",) * 10 + (
    "a picture of", "a drawing of", "an image of", "a photo of", "a painting of",
    "an illustration of", "a picture with", "draw", "show me", "there is",
)  # fmt: skip

HELD_OUT_OPENINGS = ("please paint", "i want to see", "a sketch of", "make an icon of")
"""Never used in training: evaluation asks with them."""

_FUNCTION_WORDS = ("a", "of", "i", "to", "me", "the", "an")
_INVENTED_SHARE = 0.2
_USUAL_SHARE = 0.85

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

T = TypeVar("T")


class Phrases:
    """Random choices of words."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random

    def pick(self, options: tuple[T, ...]) -> T:
        """One of the options, all equally likely."""
        return options[int(self._random.integers(len(options)))]

    def number(self, below: int) -> int:
        """0 .. below - 1."""
        return int(self._random.integers(below))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self._random.random() < probability)

    def mostly(self, usual: T, others: tuple[T, ...]) -> T:
        """What a sentence leaves open: mostly the usual, else any of the others."""
        return usual if self.chance(_USUAL_SHARE) else self.pick(others)

    def colour(self, colour: str) -> str:
        """A word for a colour."""
        return self.pick(COLOUR_WORDS.get(colour, (colour,)))

    def on_background(self, content: str, background: str | None) -> str:
        """Content, and the background before or behind it when it is named."""
        if background is None:
            return self._open(content)
        colour = self.colour(background)
        word = self.pick(("background", "background", "background", "backdrop"))
        ground = with_article(f"{colour} {word}")
        style = self.number(8)
        if style <= 3:
            return self._open(f"{content} on {ground}")
        if style == 4:
            return self._open(f"{content}, {colour} {word}")
        if style == 5:
            return self._open(f"{ground} with {content}")
        if style == 6:
            return f"on {ground}, {content}"
        return self._open(f"{content} {self.pick(('in front of', 'over', 'against'))} {ground}")

    def nonsense(self) -> str:
        """One to four words that mean nothing: people ask in more ways than a list has."""
        words = [
            self.pick(_FUNCTION_WORDS) if self.chance(0.4) else self._invented_word()
            for _ in range(1 + self.number(4))
        ]
        return " ".join(words)

    def _open(self, content: str) -> str:
        if self.chance(_INVENTED_SHARE):
            return f"{self.nonsense()} {content}"
        return f"{self.pick(OPENINGS)} {content}".strip()

    def _invented_word(self) -> str:
        """Two pieces of names: tokens that real words are made of."""
        letters = letters_of_names()
        starts = (self.number(len(letters) - 3) for _ in range(2))
        return "".join(letters[start : start + 1 + self.number(3)] for start in starts)
