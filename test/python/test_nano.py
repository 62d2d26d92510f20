"""The embedded checkpoint draws what a sentence asks for, judged by its pixels."""

import json

import jax.numpy as jnp
import pytest
from conftest import REPO_ROOT
from scene_check import judge_best, read_sentence

from sidecar.checkpoint import load_weights, open_checkpoint, open_text
from sidecar.engine import Engine, EngineTask

FOLDER = REPO_ROOT / "checkpoints" / "nano"
LEAST_SHARE = 0.8
MAX_BYTES = 10_000_000


@pytest.fixture(scope="module")
def fixture():
    return json.loads((REPO_ROOT / "test" / "fixtures" / "nano-sentences.json").read_text())


@pytest.fixture(scope="module")
def pictures(fixture):
    """One picture for each sentence, with the checkpoint's own sampling defaults."""
    found = open_checkpoint(FOLDER)
    text = open_text(found)
    empty, dtype = text.unconditional(), jnp.dtype("float32")
    slots = len(fixture["sentences"])
    engine = Engine(
        found,
        load_weights(found, dtype),
        (empty.ids, empty.mask),
        slots=slots,
        chunk_tokens=256,
        dtype=dtype,
    )
    for index, sentence in enumerate(fixture["sentences"]):
        encoded = text.encode(sentence["text"])
        engine.admit(EngineTask(str(index), encoded.ids, encoded.mask, index, found.sampling))
    drawn = {picture.task_id: picture.pixels for picture in engine.step()}
    return [drawn[str(index)] for index in range(slots)]


def test_every_sentence_joins_a_colour_and_a_shape_that_training_never_did(fixture):
    held_out = {tuple(pair) for pair in fixture["heldOutPairs"]}
    assert len(fixture["sentences"]) == 20
    for sentence in fixture["sentences"]:
        things = [thing for scene in sentence["scenes"] for thing in scene]
        assert all((thing["shape"], thing["colour"]) in held_out for thing in things)


def test_pictures_have_the_asked_colours_in_the_asked_places(fixture, pictures):
    verdicts = [
        judge_best(picture, read_sentence(entry), fixture["palette"])
        for picture, entry in zip(pictures, fixture["sentences"], strict=True)
    ]
    failed = [
        entry["text"]
        for verdict, entry in zip(verdicts, fixture["sentences"], strict=True)
        if not verdict.follows
    ]
    assert len(failed) <= (1 - LEAST_SHARE) * len(verdicts), failed


def test_the_judge_refuses_the_same_pictures_for_other_sentences(fixture, pictures):
    entries = fixture["sentences"][1:] + fixture["sentences"][:1]
    follows = [
        judge_best(picture, read_sentence(entry), fixture["palette"]).follows
        for picture, entry in zip(pictures, entries, strict=True)
    ]
    assert sum(follows) <= 2


def test_the_folder_is_small_enough_to_live_in_the_repository():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*")) <= MAX_BYTES
