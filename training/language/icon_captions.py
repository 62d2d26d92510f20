"""Sentences about one icon."""

from training.language.english import with_article
from training.language.example import Example
from training.language.phrases import PLACE_WORDS, Phrases
from training.world.concepts import Concept, concept_index, learnt_concepts
from training.world.scenes import ANCHORS, COLOUR_NAMES, SHADES, Scene, Thing, alone, place
from training.world.shapes import GRID
from training.world.sprites import LARGE, MIDDLE, SMALL

_UNKNOWN_ICON = "magnifying-glass-tilted-left"

_LARGE_WORDS = ("big", "large", "huge")
_MIDDLE_WORDS = ("small", "little")
_SMALL_WORDS = ("tiny", "very small")
_KINDS = ("emoji", "icon", "drawing", "picture", "cartoon")

Described = tuple[str, Thing]
"""A sentence and the icon that it asks for."""


def is_held_out_background(icon: str, colour: str) -> bool:
    """True for pairs of icon and background that no training sentence names (one in eight)."""
    return (5 * concept_index()[icon] + 3 * COLOUR_NAMES.index(colour)) % 8 == 0


def icon_background(phrases: Phrases, icons: tuple[str, ...], named: float) -> tuple[str, bool]:
    """A background and whether the sentence names it. Unnamed, half of them are white."""
    if not phrases.chance(named):
        return ("white" if phrases.chance(0.5) else phrases.pick(COLOUR_NAMES)), False
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


def _as_a_kind(phrases: Phrases, concept: Concept, background: str | None) -> Described:
    """As "pizza emoji"."""
    # A noun phrase is drawn and not used, so that a seed keeps the captions that it always had.
    icon_noun(phrases, concept)
    content = f"{phrases.pick(concept.names)} {phrases.pick(_KINDS)}"
    thing = _unsized(phrases, concept)
    return phrases.on_background(content, background), thing


def _plain(phrases: Phrases, concept: Concept, background: str | None) -> Described:
    """As "a pizza"."""
    content = icon_noun(phrases, concept)
    thing = _unsized(phrases, concept)
    return phrases.on_background(content, background), thing


def _large(phrases: Phrases, concept: Concept, background: str | None) -> Described:
    """As "a huge pizza"."""
    content = icon_noun(phrases, concept, phrases.pick(_LARGE_WORDS))
    return phrases.on_background(content, background), _at_free_place(phrases, concept, LARGE)


def _small(phrases: Phrases, concept: Concept, background: str | None) -> Described:
    """As "a little pizza"."""
    cells, content = _small_noun(phrases, concept)
    return phrases.on_background(content, background), _at_free_place(phrases, concept, cells)


def _placed(phrases: Phrases, concept: Concept, background: str | None) -> Described:
    """As "a pizza in the top left corner"; many sentences leave out that it is small."""
    cells, content = _small_noun(phrases, concept)
    if cells == MIDDLE and phrases.chance(0.6):
        content = icon_noun(phrases, concept)
    where = phrases.pick(tuple(ANCHORS))
    content = f"{content} {phrases.pick(PLACE_WORDS[where])}"
    thing = place(concept.icon, None, cells, ANCHORS[where])
    return phrases.on_background(content, background), thing


_STYLES = (_as_a_kind, *[_plain] * 5, _large, _small, _placed, _placed)
"""Ways to ask for one icon, all equally likely."""


def one_icon(phrases: Phrases) -> Example:
    """One icon, large in the middle, or smaller at some place."""
    concept = phrases.pick(learnt_concepts())
    background, named = icon_background(phrases, (concept.icon,), 0.4)
    shade = phrases.number(len(SHADES))
    style = phrases.pick(_STYLES)
    caption, thing = style(phrases, concept, background if named else None)
    return Example(caption, Scene(background, (thing,), shade))


def unknown(phrases: Phrases) -> Example:
    """A sentence without a word that it knows: the picture says that it is still looking.

    Any thing at all would do, but at a low temperature what is spread over all things is never
    drawn.
    """
    words = phrases.nonsense()
    text = phrases.on_background(with_article(words) if phrases.chance(0.3) else words, None)
    return Example(text, alone(_UNKNOWN_ICON, LARGE, shade=phrases.number(len(SHADES))))


def _small_noun(phrases: Phrases, concept: Concept) -> tuple[int, str]:
    """A size below the large one, and a noun phrase that says so."""
    cells, words = (SMALL, _SMALL_WORDS) if phrases.chance(0.3) else (MIDDLE, _MIDDLE_WORDS)
    return cells, icon_noun(phrases, concept, phrases.pick(words))


def _unsized(phrases: Phrases, concept: Concept) -> Thing:
    """Where the sentence says no size: nearly always large."""
    return _at_free_place(phrases, concept, LARGE if phrases.chance(0.95) else MIDDLE)


def _at_free_place(phrases: Phrases, concept: Concept, cells: int) -> Thing:
    """Where the sentence says no place: mostly the middle, else anywhere.

    A large icon has little room; the others keep to even tokens.
    """
    room = GRID - cells
    steps = tuple(range(0, room + 1, 1 if cells == LARGE else 2))
    x, y = phrases.mostly((room // 2, room // 2), tuple((x, y) for x in steps for y in steps))
    return Thing(concept.icon, None, cells, x, y)
