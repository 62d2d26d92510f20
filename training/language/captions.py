"""Sentences and the scenes they describe, drawn together from a random stream."""

from collections.abc import Callable

import numpy as np

from training.language.composition_captions import several_icons, several_shapes, two_things
from training.language.example import Example
from training.language.icon_captions import one_icon, unknown
from training.language.phrases import Phrases
from training.language.shape_captions import bare_background, one_shape

MIX: tuple[tuple[float, Callable[[Phrases], Example]], ...] = (
    (0.20, one_icon),
    (0.06, one_shape),
    (0.48, two_things),
    (0.16, several_icons),
    (0.06, several_shapes),
    (0.02, unknown),
    (0.02, bare_background),
)
"""Shares of the kinds of sentences."""


class ExampleSource:
    """An endless, seeded stream of examples; never shows what is held out."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._phrases = Phrases(self._random)
        self._shares = np.array([share for share, _ in MIX])

    def __iter__(self) -> "ExampleSource":
        return self

    def __next__(self) -> Example:
        kind = int(self._random.choice(len(MIX), p=self._shares))
        return MIX[kind][1](self._phrases)
