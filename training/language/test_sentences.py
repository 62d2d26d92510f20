"""Step `test_sentences`: what the tests ask the checkpoint.

Twenty sentences about shapes, all with a pair of shape and colour that no training picture shows;
and some about things, with the source pictures that the tests compare with.
"""

import shutil

import numpy as np
from PIL import Image

from training.language.english import with_article
from training.paths import NOTICE, SENTENCES, write_json
from training.world.concepts import Concept, learnt_concepts
from training.world.scenes import (
    COLOURS,
    Scene,
    alone,
    draw,
    held_out_pairs,
    is_held_out,
    scenes_of,
)
from training.world.shapes import GRID
from training.world.sprites import LARGE

THING_STRIDE = 5
THUMBNAIL_SIDE = 32


def shape_sentences() -> dict[str, list[Scene]]:
    """Twenty sentences and the scenes that their pictures may show."""
    return {
        "a pink circle on a blue background": scenes_of("blue", "circle", "pink"),
        "an orange square": scenes_of("white", "square", "orange"),
        "a black square on a yellow background": scenes_of("yellow", "square", "black"),
        "A picture of a green triangle, pink background": scenes_of("pink", "triangle", "green"),
        "a gray triangle in the top left corner on an orange background": scenes_of(
            "orange", "triangle", "gray", "top left"
        ),
        "a purple star on a yellow background": scenes_of("yellow", "star", "purple"),
        "a big red diamond": scenes_of("white", "diamond", "red", size="big"),
        "a brown diamond on the right on a turquoise background": scenes_of(
            "turquoise", "diamond", "brown", "right"
        ),
        "on a purple background, a yellow heart": scenes_of("purple", "heart", "yellow"),
        "a small white heart on a red background": scenes_of("red", "heart", "white", size="small"),
        "a blue ring in front of a pink background": scenes_of("pink", "ring", "blue"),
        "a turquoise ring at the bottom on a black background": scenes_of(
            "black", "ring", "turquoise", "bottom"
        ),
        "a pink cross on the left on a black background": scenes_of(
            "black", "cross", "pink", "left"
        ),
        "an orange hexagon at the top on a gray background": scenes_of(
            "gray", "hexagon", "orange", "top"
        ),
        "a big black hexagon on a green background": scenes_of(
            "green", "hexagon", "black", size="big"
        ),
        "a green moon on a black background": scenes_of("black", "moon", "green"),
        "a large gray moon in the middle": scenes_of("white", "moon", "gray", "center", "big"),
        "a tiny green triangle in the middle": scenes_of(
            "white", "triangle", "green", "center", "small"
        ),
        "a drawing of a yellow heart in the bottom right corner on a brown background": scenes_of(
            "brown", "heart", "yellow", "bottom right"
        ),
        "a red diamond in the top right corner on a green background": scenes_of(
            "green", "diamond", "red", "top right"
        ),
    }


def sentence_json(text: str, scenes: list[Scene]) -> dict[str, object]:
    """One sentence of the fixture: positions and sizes as fractions of the picture's side."""
    ground = scenes[0].background
    allowed = [
        [
            {
                "shape": thing.name,
                "colour": thing.colour,
                "x": (thing.x + thing.cells / 2) / GRID,
                "y": (thing.y + thing.cells / 2) / GRID,
                "size": thing.cells / GRID,
            }
            for thing in scene.things
        ]
        for scene in scenes
    ]
    return {"text": text, "background": ground, "scenes": allowed}


def asked_things() -> list[Concept]:
    """One in `THING_STRIDE` of what the checkpoint has learnt."""
    return list(learnt_concepts()[::THING_STRIDE])


def thumbnail(concept: Concept) -> Image.Image:
    """The source picture that a test sentence asks for, small."""
    return Image.fromarray(draw(alone(concept.icon, LARGE))).resize(
        (THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX
    )


def main() -> None:
    """Write nano-sentences.json, nano-things.png, and the licence of what that shows."""
    scenes = shape_sentences()
    for text, allowed in scenes.items():
        things = [thing for scene in allowed for thing in scene.things]
        if any(not thing.colour or not is_held_out(thing.name, thing.colour) for thing in things):
            raise ValueError(f"{text!r} shows a pair of shape and colour that training shows too")
    sentences = [sentence_json(text, allowed) for text, allowed in scenes.items()]
    asked = asked_things()
    fixture = {
        "palette": COLOURS,
        "heldOutPairs": held_out_pairs(),
        "sentences": sentences,
        "things": [f"{with_article(concept.names[0])} on a white background" for concept in asked],
    }
    SENTENCES.parent.mkdir(parents=True, exist_ok=True)
    write_json(SENTENCES, fixture)
    strip = np.concatenate([np.asarray(thumbnail(concept)) for concept in asked], axis=1)
    Image.fromarray(strip).save(SENTENCES.with_name("nano-things.png"))
    shutil.copy(NOTICE, SENTENCES.with_name("nano-things.NOTICE"))
    print(
        f"{len(sentences)} sentences over {len(held_out_pairs())} held-out pairs"
        f" -> {SENTENCES.name}"
    )


if __name__ == "__main__":
    main()
