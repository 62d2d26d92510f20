"""The embedded checkpoint draws what a sentence asks for, judged by its pixels."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import REPO_ROOT
from PIL import Image
from support.goldens import VQGAN_FOLDER, apply, model_folder
from support.scene_check import judge_best, read_sentence

from sidecar.checkpoint.folder import load_weights, open_checkpoint
from sidecar.checkpoint.msgpack_index import index_leaves
from sidecar.checkpoint.weight_files import WEIGHTS_FILE
from sidecar.checkpoint.weights import load_vqgan_encoder
from sidecar.loading import load_checkpoint
from sidecar.model.vqgan_decoder import VQGANDecoder, to_pixels
from sidecar.model.vqgan_encoder import VQGANEncoder, from_pixels
from sidecar.wire.messages import SamplingSettings

FOLDER = REPO_ROOT / "checkpoints" / "nano"
THING_SHARE = 0.8
# Shapes in colours that they never had in training; the model card says how many come out right.
SHAPE_SHARE = 0.5
SHAPE_ROUNDS = 3
MAX_BYTES = 25_000_000
LEAST_DECIBEL = 20


@pytest.fixture(scope="module")
def fixture():
    return json.loads((REPO_ROOT / "test" / "fixtures" / "nano-sentences.json").read_text())


def draw(sentences):
    """One image for each sentence, with the checkpoint's own sampling defaults."""
    slots = len(sentences)
    checkpoint = load_checkpoint(FOLDER, precision="float32", slots=slots)
    requests = [
        checkpoint.create_request(str(index), sentence, index, SamplingSettings())
        for index, sentence in enumerate(sentences)
    ]
    engine = checkpoint.create_engine(slots=slots, chunk_tokens=256)
    drawn = {image.task_id: image.pixels for image in engine.draw_all(requests)}
    return [drawn[request.task_id] for request in requests]


@pytest.fixture(scope="module")
def images(fixture):
    return draw([sentence["text"] for sentence in fixture["sentences"]] * SHAPE_ROUNDS)


def test_images_of_things_are_most_like_the_asked_one(fixture):
    strip = Image.open(REPO_ROOT / "test" / "fixtures" / "nano-things.png")
    side = strip.height
    sources = np.asarray(strip, float).reshape(side, -1, side, 3).swapaxes(0, 1)
    drawn = np.stack([
        np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX), float)
        for image in draw(fixture["things"])
    ])  # fmt: skip
    distances = np.square(drawn[:, None] - sources).mean(axis=(2, 3, 4))
    nearest = distances.argmin(axis=1)
    failed = [text for index, text in enumerate(fixture["things"]) if nearest[index] != index]
    assert len(sources) == len(drawn) > 20
    assert len(failed) <= (1 - THING_SHARE) * len(drawn), failed


def test_every_sentence_joins_a_colour_and_a_shape_that_training_never_did(fixture):
    held_out = {tuple(pair) for pair in fixture["heldOutPairs"]}
    assert len(fixture["sentences"]) == 20
    for sentence in fixture["sentences"]:
        things = [thing for scene in sentence["scenes"] for thing in scene]
        assert all((thing["shape"], thing["colour"]) in held_out for thing in things)


def follow(images, entries, palette):
    """Which images have the background, colours and places of their sentence."""
    pairs = zip(images, entries * SHAPE_ROUNDS, strict=True)
    return [judge_best(image, read_sentence(entry), palette).follows for image, entry in pairs]


def test_shapes_have_the_asked_colours_in_the_asked_places(fixture, images):
    follows = follow(images, fixture["sentences"], fixture["palette"])
    assert sum(follows) >= SHAPE_SHARE * len(follows)


def test_the_judge_refuses_the_same_images_for_other_sentences(fixture, images):
    entries = fixture["sentences"][1:] + fixture["sentences"][:1]
    assert sum(follow(images, entries, fixture["palette"])) <= 2 * SHAPE_ROUNDS


def test_the_folder_is_small_enough_to_live_in_the_repository():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*")) <= MAX_BYTES


def names_and_ranks(folder):
    """What a weight file calls its arrays, and their axes; blocks and levels count as one."""
    leaves = index_leaves(folder / WEIGHTS_FILE)
    return {
        (re.sub(r"(?<=[a-z]_)\d+", "N", "/".join(name)), len(leaf.shape))
        for name, leaf in leaves.items()
    }


def test_the_model_has_the_leaves_that_upstream_writes():
    assert names_and_ranks(FOLDER) == names_and_ranks(model_folder("mini-scan"))


def test_the_vqgan_has_both_halves_as_upstream_writes_them():
    theirs = names_and_ranks(VQGAN_FOLDER)
    attention = {leaf for leaf in theirs if re.search(r"(down|up)_N/attn_N", leaf[0])}
    assert names_and_ranks(FOLDER / "vqgan") == theirs - attention


def test_an_image_becomes_tokens_that_give_it_back(fixture, images):
    found = open_checkpoint(FOLDER)
    vqgan_params = load_weights(found, jnp.dtype("float32")).vqgan_params
    encoder_params, _ = load_vqgan_encoder(found.vqgan_folder, found.vqgan_config)
    some = jnp.stack(images[:4])
    tokens = apply(VQGANEncoder(found.vqgan_config), encoder_params, from_pixels(some))
    again = to_pixels(apply(VQGANDecoder(found.vqgan_config), vqgan_params, tokens))
    error = jnp.square(again.astype(jnp.float32) - some.astype(jnp.float32)).mean()
    assert 10 * jnp.log10(255**2 / error) > LEAST_DECIBEL
