"""The embedded checkpoint draws what a sentence asks for, judged by its pixels."""

import json
import re

import jax.numpy as jnp
import pytest
from conftest import REPO_ROOT
from scene_check import judge_best, read_sentence

from sidecar.checkpoint import load_weights, open_checkpoint, open_text
from sidecar.engine import Engine, EngineTask
from sidecar.model.msgpack_file import index_leaves
from sidecar.model.params import load_vqgan_encoder
from sidecar.model.vqgan import VQGANDecoder, to_pixels
from sidecar.model.vqgan_encoder import VQGANEncoder, from_pixels
from sidecar.weight_files import WEIGHTS_FILE

FOLDER = REPO_ROOT / "checkpoints" / "nano"
LEAST_SHARE = 0.8
MAX_BYTES = 25_000_000
LEAST_DECIBEL = 20


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


def names_and_ranks(folder):
    """What a weight file calls its arrays, and how many axes each has; blocks and levels are not told apart."""
    leaves = index_leaves(folder / WEIGHTS_FILE)
    return {
        (re.sub(r"(?<=[a-z]_)\d+", "N", "/".join(name)), len(leaf.shape))
        for name, leaf in leaves.items()
    }


def test_the_model_has_the_leaves_that_upstream_writes(upstream):
    assert names_and_ranks(FOLDER) == names_and_ranks(upstream / "models" / "mini-scan")


def test_the_vqgan_has_both_halves_as_upstream_writes_them(upstream):
    theirs = names_and_ranks(upstream / "vqgan")
    attention = {leaf for leaf in theirs if re.search(r"(down|up)_N/attn_N", leaf[0])}
    assert names_and_ranks(FOLDER / "vqgan") == theirs - attention


def test_a_picture_becomes_tokens_that_give_it_back(fixture, pictures):
    found = open_checkpoint(FOLDER)
    vqgan_params = load_weights(found, jnp.dtype("float32")).vqgan_params
    encoder_params, _ = load_vqgan_encoder(found.vqgan_folder, found.vqgan_config)
    some = jnp.stack(pictures[:4])
    tokens = VQGANEncoder(found.vqgan_config).apply({"params": encoder_params}, from_pixels(some))
    again = to_pixels(VQGANDecoder(found.vqgan_config).apply({"params": vqgan_params}, tokens))
    error = jnp.square(again.astype(jnp.float32) - some.astype(jnp.float32)).mean()
    assert 10 * jnp.log10(255**2 / error) > LEAST_DECIBEL
