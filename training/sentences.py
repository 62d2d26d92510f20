"""Step `sentences`: the test sentences, all with a pair of shape and colour that no training picture shows."""

from training.paths import SENTENCES
from training.scenes import (
    ANCHORS,
    CENTER_CELLS,
    COLOURS,
    FREE_SLACK,
    PLACED_CELLS,
    SAID_SLACK,
    Scene,
    check,
    held_out_pairs,
    is_held_out,
    place,
)
from training.shapes import GRID
from training.tokenizer import write_json


def _scene(background: str, *things: tuple[str, str, str]) -> Scene:
    """A scene from "shape colour" words; each thing at an anchor, the size after a slash ("left/small")."""
    placed = []
    for shape, colour, where in things:
        anchor, _, size = where.partition("/")
        alone_in_center = anchor == "center" and len(things) == 1
        # Of several sizes the largest: the smaller ones lie inside it.
        cells = (CENTER_CELLS if alone_in_center else PLACED_CELLS)[size or "medium"][-1]
        placed.append(place(shape, colour, cells, ANCHORS[anchor]))
    scene = Scene(background, tuple(placed))
    check(scene)
    return scene


def test_sentences() -> dict[str, Scene]:
    """Twenty sentences and what their pictures should show."""
    return {
        "a pink circle on a blue background": _scene("blue", ("circle", "pink", "center")),
        "an orange square": _scene("white", ("square", "orange", "center")),
        "a black square on a yellow background": _scene("yellow", ("square", "black", "center")),
        "A picture of a green triangle, pink background": _scene(
            "pink", ("triangle", "green", "center")
        ),
        "a gray triangle in the top left corner on an orange background": _scene(
            "orange", ("triangle", "gray", "top left")
        ),
        "a purple star on a yellow background": _scene("yellow", ("star", "purple", "center")),
        "a big red diamond": _scene("white", ("diamond", "red", "center/big")),
        "a brown diamond on the right on a turquoise background": _scene(
            "turquoise", ("diamond", "brown", "right")
        ),
        "on a purple background, a yellow heart": _scene("purple", ("heart", "yellow", "center")),
        "a small white heart on a red background": _scene(
            "red", ("heart", "white", "center/small")
        ),
        "a blue ring in front of a pink background": _scene("pink", ("ring", "blue", "center")),
        "a turquoise ring at the bottom on a black background": _scene(
            "black", ("ring", "turquoise", "bottom")
        ),
        "a pink cross on the left on a black background": _scene(
            "black", ("cross", "pink", "left")
        ),
        "an orange hexagon at the top on a gray background": _scene(
            "gray", ("hexagon", "orange", "top")
        ),
        "a big black hexagon on a green background": _scene(
            "green", ("hexagon", "black", "center/big")
        ),
        "a green moon on a black background": _scene("black", ("moon", "green", "center")),
        "a large gray moon": _scene("white", ("moon", "gray", "center/big")),
        "a tiny green triangle in the middle": _scene(
            "white", ("triangle", "green", "center/small")
        ),
        "a drawing of a yellow heart in the bottom right corner on a brown background": _scene(
            "brown", ("heart", "yellow", "bottom right")
        ),
        "a red diamond in the top right corner on a green background": _scene(
            "green", ("diamond", "red", "top right")
        ),
    }


def _slack(text: str, scene: Scene) -> int:
    """What training allows: more where the sentence leaves the place open."""
    middle = GRID / 2
    centered = all(
        (thing.x + thing.cells / 2, thing.y + thing.cells / 2) == (middle, middle)
        for thing in scene.things
    )
    return FREE_SLACK if centered and "middle" not in text else SAID_SLACK


def sentence_json(text: str, scene: Scene, slack: int) -> dict[str, object]:
    """One sentence as the fixture tells it: positions and sizes as fractions of the picture's side.

    Args:
        slack: how far, in tokens, a thing may stand from where the scene has it.
    """
    things = [
        {
            "shape": thing.shape,
            "colour": thing.colour,
            "rgb": COLOURS[thing.colour],
            "x": (thing.x + thing.cells / 2) / GRID,
            "y": (thing.y + thing.cells / 2) / GRID,
            "size": thing.cells / GRID,
            "slack": slack / GRID,
        }
        for thing in scene.things
    ]
    ground = scene.background
    return {"text": text, "background": ground, "backgroundRgb": COLOURS[ground], "things": things}


def main() -> None:
    """Write test/fixtures/nano-sentences.json."""
    scenes = test_sentences()
    for text, scene in scenes.items():
        if not all(is_held_out(thing.shape, thing.colour) for thing in scene.things):
            raise ValueError(f"{text!r} shows a pair of shape and colour that training shows too")
    sentences = [sentence_json(text, scene, _slack(text, scene)) for text, scene in scenes.items()]
    fixture = {"palette": COLOURS, "heldOutPairs": held_out_pairs(), "sentences": sentences}
    SENTENCES.parent.mkdir(parents=True, exist_ok=True)
    write_json(SENTENCES, fixture)
    print(
        f"{len(sentences)} sentences over {len(held_out_pairs())} held-out pairs -> {SENTENCES.name}"
    )


if __name__ == "__main__":
    main()
