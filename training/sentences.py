"""Step `sentences`: the test sentences, all with a pair of shape and colour that no training picture shows."""

from training.paths import SENTENCES
from training.scenes import COLOURS, Scene, held_out_pairs, is_held_out, scenes_of
from training.shapes import GRID
from training.tokenizer import write_json


def test_sentences() -> dict[str, list[Scene]]:
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
    """One sentence as the fixture tells it: positions and sizes as fractions of the picture's side."""
    ground = scenes[0].background
    allowed = [
        [
            {
                "shape": thing.shape,
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


def main() -> None:
    """Write test/fixtures/nano-sentences.json."""
    scenes = test_sentences()
    for text, allowed in scenes.items():
        things = [thing for scene in allowed for thing in scene.things]
        if not all(is_held_out(thing.shape, thing.colour) for thing in things):
            raise ValueError(f"{text!r} shows a pair of shape and colour that training shows too")
    sentences = [sentence_json(text, allowed) for text, allowed in scenes.items()]
    fixture = {"palette": COLOURS, "heldOutPairs": held_out_pairs(), "sentences": sentences}
    SENTENCES.parent.mkdir(parents=True, exist_ok=True)
    write_json(SENTENCES, fixture)
    print(
        f"{len(sentences)} sentences over {len(held_out_pairs())} held-out pairs -> {SENTENCES.name}"
    )


if __name__ == "__main__":
    main()
