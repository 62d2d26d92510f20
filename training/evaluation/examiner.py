"""What pictures got right: object, colour, relation, by the two judges of `judge`."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from training.evaluation.crops import around, cut_thing, foreground, ground_rgb
from training.evaluation.judge import Judge
from training.language.questions import Centers, Question, cells_of
from training.world.scenes import COLOUR_NAMES, COLOURS

_MOST_STRAY = 0.03
"""Share of a picture that may differ from its background outside of the asked places."""

Pixels = UInt8[np.ndarray, "side side 3"]


@dataclass(frozen=True)
class Verdict:
    """What a picture got right.

    `object` is the classifier's answer about every thing that was asked for, `nearest` that of the
    nearest source picture. `colour` and `relation` are None where the sentence does not ask for
    one.
    """

    object: bool
    nearest: bool
    colour: bool | None
    relation: bool | None

    @property
    def all(self) -> bool:
        """Nothing that was asked for is wrong."""
        return self.object and self.colour is not False and self.relation is not False


def nearest_colour(rgb: UInt8[np.ndarray, "3"]) -> str:
    """Name of the palette's nearest colour."""
    palette = np.array(list(COLOURS.values()), dtype=float)
    return COLOUR_NAMES[int(((palette - rgb) ** 2).sum(axis=1).argmin())]


def examine(judge: Judge, question: Question, image: Pixels) -> Verdict:
    """Judge one picture.

    With several things, `object` wants each in some place, `relation` wants each in its own place
    and nothing outside the places; a count is a relation whose things are all the same.
    """
    ground = ground_rgb(image)
    colour = nearest_colour(ground)
    colour_right = None if question.background is None else colour == question.background
    cells = cells_of(question)
    if not question.layouts:
        crop, (icon,) = cut_thing(image, ground), question.icons
        named, near = judge.name(crop) == icon, judge.nearest(crop, cells, colour) == icon
        return Verdict(named, near, colour_right, None)
    best = Verdict(False, False, colour_right, False)
    for centers in question.layouts:
        crops = [cut_thing(around(image, center, cells), ground) for center in centers]
        names = [judge.name(crop) for crop in crops]
        nears = [judge.nearest(crop, cells, colour) for crop in crops]
        found = Verdict(
            sorted(names) == sorted(question.icons),
            sorted(nears) == sorted(question.icons),
            colour_right,
            tuple(names) == question.icons and _stray(image, ground, centers, cells) <= _MOST_STRAY,
        )
        best = max(best, found, key=lambda verdict: (verdict.relation, verdict.object))
    return best


def _stray(image: Pixels, ground: UInt8[np.ndarray, "3"], centers: Centers, cells: int) -> float:
    """Share of the picture that shows something outside of the asked places."""
    mask = foreground(image, ground)
    for center in centers:
        around(mask, center, cells)[...] = False
    return float(mask.mean())
