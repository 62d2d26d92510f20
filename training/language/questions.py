"""The sentences that evaluation asks, and what a picture must show to be right."""

from dataclasses import dataclass

import numpy as np

from training.language.composition_captions import (
    ABOVE,
    BELOW,
    COUNT_WORDS,
    LEFT_OF,
    PLACES,
    RIGHT_OF,
    SIDE_BY_SIDE,
    STACKED,
    can_be_counted,
    is_held_out_count,
    is_held_out_pair,
)
from training.language.english import plural, with_article
from training.language.icon_captions import is_held_out_background, one_icon
from training.language.phrases import HELD_OUT_OPENINGS, Phrases
from training.world.concepts import Concept, learnt_concepts
from training.world.scenes import COLOUR_NAMES
from training.world.sprites import LARGE, MIDDLE

SEED = 97

Centers = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Question:
    """A sentence, the background it names, and icons that must stand at given token corners.

    `layouts` are the arrangements that would be right; each has a place for every icon of `icons`.
    """

    text: str
    background: str | None
    icons: tuple[str, ...]
    layouts: tuple[Centers, ...] = ()


def in_set(count: int) -> list[Question]:
    """Sentences about one icon, drawn from the training stream."""
    phrases = Phrases(np.random.default_rng(SEED))
    examples = [one_icon(phrases) for _ in range(count)]
    return [
        Question(example.caption, None, (example.scene.things[0].name,)) for example in examples
    ]


def held_out_phrasings(count: int) -> list[Question]:
    """Openings that training never used; every second one with another name than the usual one."""
    phrases = Phrases(np.random.default_rng(SEED + 1))
    several = tuple(concept for concept in learnt_concepts() if len(concept.names) > 1)
    found = []
    for number in range(count):
        concept = phrases.pick(several if number % 2 else learnt_concepts())
        name = phrases.pick(concept.names[1:]) if number % 2 else concept.names[0]
        text = f"{phrases.pick(HELD_OUT_OPENINGS)} {with_article(name)}"
        found.append(Question(text, None, (concept.icon,)))
    return found


def compositions(count: int) -> list[Question]:
    """Pairs, counts and backgrounds (2, 2 and 1 in 5) that training never showed together."""
    phrases = Phrases(np.random.default_rng(SEED + 2))
    makers = (_pair, _pair, _count, _count, _on_background)
    return [makers[number % len(makers)](phrases) for number in range(count)]


def _pair(phrases: Phrases) -> Question:
    while True:
        first, second = phrases.pick(learnt_concepts()), phrases.pick(learnt_concepts())
        if first != second and is_held_out_pair(first.icon, second.icon):
            break
    (left, right), (top, bottom) = SIDE_BY_SIDE, STACKED
    words, centers = phrases.pick(
        (
            (LEFT_OF, (left, right)),
            (RIGHT_OF, (right, left)),
            (ABOVE, (top, bottom)),
            (BELOW, (bottom, top)),
        )
    )
    colour = phrases.pick(COLOUR_NAMES)
    nouns = [with_article(concept.names[0]) for concept in (first, second)]
    text = f"{nouns[0]} {words[0]} {nouns[1]} on {with_article(colour)} background"
    return Question(text, colour, (first.icon, second.icon), (centers,))


def _count(phrases: Phrases) -> Question:
    while True:
        concept, count = phrases.pick(learnt_concepts()), 2 + phrases.number(3)
        if can_be_counted(concept) and is_held_out_count(concept.icon, count):
            break
    colour = phrases.pick(COLOUR_NAMES)
    text = (
        f"{COUNT_WORDS[count][0]} {plural(concept.names[0])} on {with_article(colour)} background"
    )
    return Question(text, colour, (concept.icon,) * count, PLACES[count])


def _on_background(phrases: Phrases) -> Question:
    while True:
        concept: Concept = phrases.pick(learnt_concepts())
        colour = phrases.pick(COLOUR_NAMES)
        if is_held_out_background(concept.icon, colour):
            break
    text = f"{with_article(concept.names[0])} on {with_article(colour)} background"
    return Question(text, colour, (concept.icon,))


def cells_of(question: Question) -> int:
    """The side, in tokens, that the asked icons are drawn at: alone, or several."""
    return MIDDLE if question.layouts else LARGE
