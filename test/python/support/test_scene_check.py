"""The pixel check of nano's images, on images drawn here."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import UInt8
from support.scene_check import Sentence, Thing, judge, nearest_shape

Pixels = UInt8[np.ndarray, "height width 3"]

PALETTE = {"red": (220, 35, 40), "blue": (35, 85, 215), "white": (250, 250, 250)}
SENTENCE = Sentence(
    "a red square on the left on a blue background",
    "blue",
    (Thing("square", "red", x=0.25, y=0.5, size=0.375),),
)


def image(
    background: str = "blue", colour: str = "red", left: int = 11, top: int = 43, side: int = 42
) -> Pixels:
    """A square on a plain background, 128 pixels wide."""
    pixels = np.full((128, 128, 3), PALETTE[background], dtype=np.uint8)
    pixels[top : top + side, left : left + side] = PALETTE[colour]
    return pixels


def test_a_picture_that_shows_what_was_asked_is_right_in_every_part():
    verdict = judge(image(), SENTENCE, PALETTE)
    assert verdict.follows
    assert verdict.shapes


def test_colours_a_little_off_are_still_named_right():
    noise = np.random.default_rng(0).integers(-12, 13, size=(128, 128, 3))
    drifted = (image().astype(int) + noise).clip(0, 255).astype(np.uint8)
    assert judge(drifted, SENTENCE, PALETTE).follows


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (image(background="white"), "background"),
        (image(colour="white"), "colours"),
        (image(left=75), "positions"),
        (image(left=43, side=84), "positions"),
        (image(colour="blue"), "colours"),
    ],
    ids=["background", "colour", "place", "size", "nothing there"],
)
def test_what_is_wrong_is_noticed(wrong: Pixels, part: str):
    verdict = judge(wrong, SENTENCE, PALETTE)
    assert not getattr(verdict, part)
    assert not verdict.follows


def test_another_outline_is_not_the_asked_shape():
    asked = replace(SENTENCE, things=(replace(SENTENCE.things[0], shape="circle"),))
    verdict = judge(image(), asked, PALETTE)
    assert verdict.follows
    assert not verdict.shapes


def test_black_pictures_and_empty_masks_are_judged_without_an_error():
    verdict = judge(np.zeros((128, 128, 3), dtype=np.uint8), SENTENCE, PALETTE)
    assert not verdict.follows
    assert nearest_shape(np.zeros((16, 16), dtype=bool)) == "nothing"
