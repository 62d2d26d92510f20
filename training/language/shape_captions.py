"""Sentences about one coloured shape."""

from training.language.english import with_article
from training.language.example import Example
from training.language.phrases import PLACE_WORDS, SIZE_WORDS, Phrases
from training.world.scenes import (
    ANCHORS,
    CENTER_CELLS,
    COLOUR_NAMES,
    PLACED_CELLS,
    SHADES,
    SIZES,
    Scene,
    default_background,
    is_held_out,
    place,
)
from training.world.shapes import SHAPES

SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "circle", "disc", "disk", "dot", "ball"),
    "square": ("square", "square", "square", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "diamond": ("diamond", "diamond", "rhombus"),
    "heart": ("heart",),
    "ring": ("ring", "ring", "hoop"),
    "cross": ("cross", "cross", "plus", "plus sign"),
    "hexagon": ("hexagon",),
    "moon": ("moon", "moon", "crescent", "crescent moon"),
}


def shape_and_colour(phrases: Phrases) -> tuple[str, str]:
    """A pair that training may show."""
    while True:
        shape, colour = phrases.pick(SHAPES), phrases.pick(COLOUR_NAMES)
        if not is_held_out(shape, colour):
            return shape, colour


def background_for(phrases: Phrases, colours: list[str], named: float) -> tuple[str, bool]:
    """A background that hides none of the colours, and whether the sentence names it."""
    if not phrases.chance(named):
        return default_background(colours), False
    return phrases.pick(tuple(name for name in COLOUR_NAMES if name not in colours)), True


def shape_noun(phrases: Phrases, shape: str, colour: str, size: str) -> str:
    """A noun phrase with its article: "a big red star"."""
    words = [phrases.pick(SIZE_WORDS[size])] if size in SIZE_WORDS else []
    words += [phrases.colour(colour), phrases.pick(SHAPE_WORDS[shape])]
    text = " ".join(words)
    return with_article(text) if not phrases.chance(0.15) else text


def one_shape(phrases: Phrases) -> Example:
    """One shape; mostly of medium size and in the middle, where the sentence does not say."""
    shape, colour = shape_and_colour(phrases)
    said_size = phrases.pick(("", "", "", *SIZE_WORDS))
    size = said_size or phrases.mostly("medium", SIZES)
    said_place = phrases.pick(tuple(ANCHORS)) if phrases.chance(0.6) else None
    where = said_place or phrases.mostly("center", tuple(ANCHORS))
    background, named = background_for(phrases, [colour], 0.7)
    said_background = background if named else None
    content = shape_noun(phrases, shape, colour, said_size)
    cells = (CENTER_CELLS if where == "center" else PLACED_CELLS)[size]
    thing = place(shape, colour, cells, ANCHORS[where])
    scene = Scene(background, (thing,), phrases.number(len(SHADES)))
    phrase = phrases.pick(PLACE_WORDS[said_place]) if said_place else ""
    if phrases.chance(0.75):
        sentence = phrases.on_background(f"{content} {phrase}".strip(), said_background)
    else:
        sentence = f"{phrases.on_background(content, said_background)} {phrase}".strip()
    return Example(sentence, scene)


def bare_background(phrases: Phrases) -> Example:
    """A background and nothing else."""
    background = phrases.pick(COLOUR_NAMES)
    colour = phrases.colour(background)
    forms = (f"a {colour} background", f"{colour} background", f"a plain {colour} background",
             f"an empty {colour} picture", colour)  # fmt: skip
    scene = Scene(background, (), phrases.number(len(SHADES)))
    return Example(phrases.on_background(phrases.pick(forms), None), scene)
