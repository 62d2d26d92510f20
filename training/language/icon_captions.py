"""Sentences about one icon."""

from training.language.example import Example
from training.language.phrases import PLACE_WORDS, Phrases, with_article
from training.world.concepts import Concept, concept_index, learnt_concepts
from training.world.scenes import ANCHORS, COLOUR_NAMES, SHADES, Scene, Thing, alone, place
from training.world.shapes import GRID

LARGE, MIDDLE, SMALL = 14, 8, 6
"""Sides of icons, in tokens."""

_UNKNOWN_ICON = "magnifying-glass-tilted-left"

_LARGE_WORDS = ("big", "large", "huge")
_MIDDLE_WORDS = ("small", "little")
_SMALL_WORDS = ("tiny", "very small")
_KINDS = ("emoji", "icon", "drawing", "picture", "cartoon")
WHITE_SHARE = 0.5


def is_held_out_background(icon: str, colour: str) -> bool:
    """True for pairs of icon and background that no training sentence names together (one in eight)."""
    return (5 * concept_index()[icon] + 3 * COLOUR_NAMES.index(colour)) % 8 == 0


def icon_background(phrases: Phrases, icons: tuple[str, ...], named: float) -> tuple[str, bool]:
    """A background and whether the sentence names it. Unnamed, half of them are white."""
    if not phrases.chance(named):
        return ("white" if phrases.chance(WHITE_SHARE) else phrases.pick(COLOUR_NAMES)), False
    while True:
        colour = phrases.pick(COLOUR_NAMES)
        if not any(is_held_out_background(icon, colour) for icon in icons):
            return colour, True


def icon_noun(phrases: Phrases, concept: Concept, size_word: str = "") -> str:
    """A noun phrase, mostly with its article: "a small slice of pizza"."""
    usual = phrases.chance(0.6)
    name = concept.names[0] if usual else phrases.pick(concept.names)
    text = f"{size_word} {name}".strip()
    return text if phrases.chance(0.2) else with_article(text)


def one_icon(phrases: Phrases) -> Example:
    """One icon, large in the middle, or smaller at some place."""
    concept = phrases.pick(learnt_concepts())
    background, named = icon_background(phrases, (concept.icon,), 0.4)
    said = background if named else None
    scene_of = _scene_maker(concept.icon, background, phrases.number(len(SHADES)))
    style = phrases.number(10)
    if style <= 5:
        content = icon_noun(phrases, concept)
        if style == 0:
            name = phrases.pick(concept.names)
            content = f"{name} {phrases.pick(_KINDS)}"
        scene = scene_of(*_free_place(phrases, LARGE if phrases.chance(0.95) else MIDDLE))
        return Example(phrases.on_background(content, said), scene)
    if style == 6:
        content = icon_noun(phrases, concept, phrases.pick(_LARGE_WORDS))
        return Example(phrases.on_background(content, said), scene_of(*_free_place(phrases, LARGE)))
    small = phrases.chance(0.3)
    cells, words = (SMALL, _SMALL_WORDS) if small else (MIDDLE, _MIDDLE_WORDS)
    content = icon_noun(phrases, concept, phrases.pick(words))
    if style == 7:
        return Example(phrases.on_background(content, said), scene_of(*_free_place(phrases, cells)))
    if not small and phrases.chance(0.6):
        content = icon_noun(phrases, concept)
    where = phrases.pick(tuple(ANCHORS))
    thing = place(concept.icon, None, cells, ANCHORS[where])
    text = phrases.on_background(f"{content} {phrases.pick(PLACE_WORDS[where])}", said)
    return Example(text, scene_of(cells, thing.x, thing.y))


def unknown(phrases: Phrases) -> Example:
    """A sentence without a word that it knows: the picture says that it is still looking.

    Any thing at all would do, but at a low temperature what is spread over all things is never drawn.
    """
    words = phrases.nonsense()
    text = phrases.on_background(with_article(words) if phrases.chance(0.3) else words, None)
    return Example(text, alone(_UNKNOWN_ICON, LARGE, shade=phrases.number(len(SHADES))))


def _scene_maker(icon: str, background: str, shade: int):
    def scene_of(cells: int, x: int, y: int) -> Scene:
        return Scene(background, (Thing(icon, None, cells, x, y),), shade)

    return scene_of


def _free_place(phrases: Phrases, cells: int) -> tuple[int, int, int]:
    """Size and place: mostly the middle, else anywhere (a large icon has little room, others keep to even tokens)."""
    room = GRID - cells
    stride = 1 if cells == LARGE else 2
    steps = tuple(range(0, room + 1, stride))
    x, y = phrases.mostly((room // 2, room // 2), tuple((x, y) for x in steps for y in steps))
    return cells, x, y
