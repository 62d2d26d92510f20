"""Sentences about several things: two different ones, or two to four of one kind."""

from dataclasses import dataclass

from training.language.english import plural
from training.language.example import Example
from training.language.icon_captions import icon_background, icon_noun
from training.language.phrases import Phrases
from training.language.shape_captions import (
    SHAPE_WORDS,
    background_for,
    shape_and_colour,
    shape_noun,
)
from training.world.concepts import Concept, concept_index, learnt_concepts
from training.world.scenes import SHADES, Scene, Thing, place
from training.world.sprites import MIDDLE, SMALL

LEFT_OF = ("left of", "to the left of", "on the left of")
RIGHT_OF = ("right of", "to the right of", "on the right of")
ABOVE = ("above", "over", "on top of")
BELOW = ("below", "under", "beneath")
BESIDE = ("and", "and", "next to", "beside", "with")

SIDE_BY_SIDE = ((4, 8), (12, 8))
STACKED = ((8, 4), (8, 12))
PLACES = {
    2: (SIDE_BY_SIDE,),
    3: (((4, 4), (12, 4), (8, 12)), ((8, 4), (4, 12), (12, 12))),
    4: (((4, 4), (12, 4), (4, 12), (12, 12)),),
}
COUNT_WORDS = {2: ("two", "2", "a pair of"), 3: ("three", "3"), 4: ("four", "4")}

# Three look much like four and take more learning: they mostly stand in the layout that does not
# begin like four.
_COUNTS = (2, 3, 3, 4)


@dataclass(frozen=True)
class _Part:
    """One of several things: how it is called and what it is."""

    noun: str
    name: str
    colour: str | None
    cells: int

    def at(self, center: tuple[int, int]) -> Thing:
        return place(self.name, self.colour, self.cells, center)


def is_held_out_pair(first: str, second: str) -> bool:
    """True for pairs of icons that no training picture shows together (one in ten)."""
    index = concept_index()
    return (index[first] + index[second]) % 10 == 3


def is_held_out_count(icon: str, count: int) -> bool:
    """True for counts of an icon that no training picture shows (one in nine)."""
    return (concept_index()[icon] + 3 * count) % 9 == 0


def can_be_counted(concept: Concept) -> bool:
    """Whether "three ..." sounds like English."""
    return not concept.names[0].endswith("s") or concept.names[0] in ("bus", "cactus")


def two_things(phrases: Phrases) -> Example:
    """Two different things and how they stand to each other."""
    while True:
        first, second = _part(phrases), _part(phrases)
        icons = tuple(part.name for part in (first, second) if part.colour is None)
        same = (first.name, first.colour) == (second.name, second.colour)
        if not same and not (len(icons) == 2 and is_held_out_pair(*icons)):
            break
    colours = [part.colour for part in (first, second) if part.colour is not None]
    if colours:
        background, named = background_for(phrases, colours, 0.5)
    else:
        background, named = icon_background(phrases, icons, 0.4)
    relation, centers = _relation(phrases)
    text = phrases.on_background(
        f"{first.noun} {relation} {second.noun}", background if named else None
    )
    things = (first.at(centers[0]), second.at(centers[1]))
    return Example(text, Scene(background, things, phrases.number(len(SHADES))))


def several_icons(phrases: Phrases) -> Example:
    """Two to four of one icon."""
    while True:
        concept, count = phrases.pick(learnt_concepts()), phrases.pick(_COUNTS)
        if can_be_counted(concept) and not is_held_out_count(concept.icon, count):
            break
    background, named = icon_background(phrases, (concept.icon,), 0.4)
    name = concept.names[0] if phrases.chance(0.7) else phrases.pick(concept.names)
    return _several(phrases, _Part(name, concept.icon, None, MIDDLE), count, background, named)


def several_shapes(phrases: Phrases) -> Example:
    """Two to four of one shape in one colour."""
    (shape, colour), count = shape_and_colour(phrases), phrases.pick(_COUNTS)
    background, named = background_for(phrases, [colour], 0.5)
    name = f"{phrases.colour(colour)} {phrases.pick(SHAPE_WORDS[shape])}"
    return _several(phrases, _Part(name, shape, colour, MIDDLE), count, background, named)


def _several(phrases: Phrases, part: _Part, count: int, background: str, named: bool) -> Example:
    content = f"{phrases.pick(COUNT_WORDS[count])} {plural(part.noun)}"
    centers = phrases.mostly(PLACES[count][-1], PLACES[count])
    things = tuple(part.at(center) for center in centers)
    text = phrases.on_background(content, background if named else None)
    return Example(text, Scene(background, things, phrases.number(len(SHADES))))


def _part(phrases: Phrases) -> _Part:
    if phrases.chance(0.2):
        shape, colour = shape_and_colour(phrases)
        return _Part(shape_noun(phrases, shape, colour, ""), shape, colour, MIDDLE)
    concept = phrases.pick(learnt_concepts())
    cells, word = phrases.pick(((MIDDLE, ""),) * 4 + ((MIDDLE, "big"), (SMALL, "small")))
    return _Part(icon_noun(phrases, concept, word), concept.icon, None, cells)


def _relation(phrases: Phrases) -> tuple[str, tuple[tuple[int, int], tuple[int, int]]]:
    """Words between two nouns, and where the first and the second then stand."""
    left, right = SIDE_BY_SIDE
    top, bottom = STACKED
    # What is said first mostly stands first: the two that turn it round are said twice as often.
    words, centers = phrases.pick(
        ((LEFT_OF, (left, right)), (BESIDE, (left, right)), (ABOVE, (top, bottom)))
        + ((RIGHT_OF, (right, left)), (BELOW, (bottom, top))) * 2
    )
    return phrases.pick(words), centers
