"""Training without its trained state: what it says, draws, asks and judges."""

import importlib
import re
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from support.scene_check import Verdict, judge_best, read_sentence

from training import paths
from training.evaluation.evaluate import true_image
from training.evaluation.examiner import examine
from training.evaluation.judge import Judge
from training.language import english, questions
from training.language.captions import ExampleSource
from training.language.test_sentences import sentence_json, shape_sentences
from training.world import scenes, sprites
from training.world.concepts import concept_index
from training.world.shapes import PATCH

FOLDERS = ("world", "language", "fit", "steps", "evaluation")


def colour_of(icon):
    return np.array(np.unravel_index(concept_index()[icon], (8, 7, 7)), np.float32) / 7


def plain_icon(icon, cells):
    """A square in the icon's own colour, with a checkered frame that stands out everywhere."""
    rows, columns = np.mgrid[: cells * PATCH, : cells * PATCH] * 16 // (cells * PATCH)
    from_edge = np.minimum(np.minimum(rows, columns), 15 - np.maximum(rows, columns))[..., None]
    checkers = (rows + columns)[..., None] % 2
    opaque = np.where(from_edge == 2, checkers, colour_of(icon)) * (from_edge >= 2)
    return np.concatenate([opaque, from_edge >= 2], axis=-1).astype(np.float32)


class ColourJudge(Judge):
    """Knows plain icons by their colour, without a trained state."""

    __init__ = object.__init__

    def name(self, crop):
        return min(concept_index(), key=lambda icon: np.abs(colour_of(icon) - crop[24, 24]).sum())

    def nearest(self, crop, cells, colour):
        return self.name(crop)


@pytest.fixture(autouse=True)
def plain_world(monkeypatch):
    grammar = SimpleNamespace(a="a {}".format, plural_noun="{}s".format)
    monkeypatch.setattr(english, "engine", lambda: grammar)
    monkeypatch.setattr(scenes, "icon_sprite", plain_icon)


def test_every_module_can_be_imported_and_imports_no_folder_after_its_own():
    files = [file for folder in FOLDERS for file in (paths.ROOT / "training" / folder).glob("*.py")]
    assert len(files) > 30
    for file in files:
        importlib.import_module(f"training.{file.parent.name}.{file.stem}")
        imported = re.findall(r"^from training\.(\w+)\.", file.read_text("utf-8"), re.MULTILINE)
        assert set(imported) <= set(FOLDERS[: FOLDERS.index(file.parent.name) + 1]), file.name


def examples(seed, count=400):
    return list(islice(ExampleSource(seed), count))


def test_a_seed_gives_the_same_captions_and_scenes_again():
    assert examples(1) == examples(1) != examples(2)


def test_captions_are_lower_case_and_their_scenes_fit_and_hold_nothing_out():
    for example in examples(3):
        assert example.caption == example.caption.lower().strip() != ""
        scenes.check(example.scene)
        shapes = [(thing.name, thing.colour) for thing in example.scene.things]
        assert not any(colour and scenes.is_held_out(name, colour) for name, colour in shapes)


def test_a_scene_is_drawn_inside_its_things_only():
    for scene in (example.scene for example in examples(4, 40)):
        image, free = scenes.draw(scene), np.ones((128, 128), bool)
        for thing in scene.things:
            x, y, side = thing.x * PATCH, thing.y * PATCH, thing.cells * PATCH
            free[y : y + side, x : x + side] = False
        ground = scenes.background_rgb(scene.background, scene.shade)
        assert (image.shape, image.dtype) == ((128, 128, 3), np.uint8)
        assert (image[free] == ground).all()
        assert (image != ground).any() == bool(scene.things)


@pytest.mark.parametrize("kind", ["in_set", "held_out_phrasings", "compositions"])
def test_the_examiner_accepts_what_a_question_asks_for_and_nothing_else(kind):
    for question in getattr(questions, kind)(15):
        verdict = examine(ColourJudge(), question, true_image(question))
        assert (verdict.all, verdict.nearest) == (True, True), question.text
        lemons = true_image(replace(question, icons=("lemon",) * len(question.icons)))
        assert not examine(ColourJudge(), question, lemons).object, question.text


def test_the_pixel_check_of_the_tests_accepts_the_scenes_of_the_test_sentences():
    for text, allowed in shape_sentences().items():
        image, wanted = scenes.draw(allowed[0]), read_sentence(sentence_json(text, allowed[:1]))
        assert judge_best(image, wanted, scenes.COLOURS) == Verdict(*[True] * 4), text


def test_the_sides_of_icons_are_those_that_are_rasterised():
    sides = [cells * PATCH for cells in sprites.ICON_CELLS]
    assert f"SIDES = {sides};" in (paths.ROOT / "training/world/icons.mjs").read_text("utf-8")


def test_a_missing_file_of_icons_says_how_it_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "WORK", tmp_path)
    with pytest.raises(ValueError, match=r"run node training/world/icons\.mjs"):
        sprites.icon_sprite("magnet", sprites.LARGE)
