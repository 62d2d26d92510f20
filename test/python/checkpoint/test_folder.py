"""Finding checkpoints and reading their configs: what is refused, and in which words."""

import json
import shutil

import jax.numpy as jnp
import pytest
from support.goldens import VQGAN_FOLDER, model_folder

from sidecar.checkpoint.folder import (
    CheckpointNotFoundError,
    load_weights,
    open_checkpoint,
)
from sidecar.checkpoint.sampling_defaults import UPSTREAM_SAMPLING
from sidecar.checkpoint.weight_files import CheckpointError
from sidecar.model.json_values import ConfigError

FLOAT32 = jnp.dtype("float32")


@pytest.fixture
def folder(tmp_path):
    """A writable copy of a golden checkpoint."""
    return shutil.copytree(model_folder("mini-scan"), tmp_path / "checkpoint")


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def load(folder):
    return load_weights(open_checkpoint(folder, VQGAN_FOLDER), FLOAT32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bart"}, "model_type is 'bart', expected 'dallebart'"),
        ({"model_type": "bart"}, "the first DALL·E mini of flax-community"),
        ({"model_type": None, "_class_name": "FlaxStableDiffusionPipeline"}, "Stable Diffusion"),
        ({"model_type": None, "ch_mult": [1, 2]}, "give it with --vqgan"),
        ({"use_alibi": True}, "use_alibi is True, supported is False (upstream's code cannot run"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True, supported is False"),
        ({"use_final_ln_decoder": False}, "use_final_ln_decoder is False, supported is True"),
        ({"use_swin_position_embeddings": True}, "upstream's code cannot generate"),
        ({"ln_positions": "postln"}, "supported is 'normformer' or 'preln' or 'cogview'"),
        ({"ln_positions": "deepnet"}, "ln_positions is 'deepnet', supported is 'normformer'"),
        ({"ln_type": "batchnorm"}, "ln_type is 'batchnorm', supported is 'layernorm' or 'rmsnorm'"),
        ({"activation_function": "tanh"}, "use a checkpoint with a supported value"),
        ({"use_glu": 1}, "use_glu is 1, supported is True or False"),
        ({"sinkhorn_iters": 0}, "sinkhorn_iters is 0, expected a positive integer"),
        ({"tau_init": 0}, "tau_init is 0.0, expected a positive number"),
        ({"encoder_layers": 10**9}, "encoder_layers is 1000000000, expected at most 256"),
        ({"d_model": 10**30}, "expected at most"),
        ({"d_model": "48"}, "d_model is '48', expected int"),
        ({"d_model": True}, "d_model is True, expected int"),
        ({"d_model": None}, "d_model is None, expected int"),
        ({"decoder_layers": 0}, "decoder_layers is 0, expected a positive integer"),
        ({"decoder_attention_heads": 5}, "not a multiple of decoder_attention_heads 5"),
        ({"image_length": 63}, "image_length is 63, expected a square number"),
        ({"decoder_start_token_id": 129}, "outside the image table of 129 rows"),
    ],
)
def test_a_config_that_cannot_be_served_is_refused_by_file_key_and_value(folder, changes, words):
    edit_config(folder, **changes)
    with pytest.raises(ConfigError) as refused:
        open_checkpoint(folder, VQGAN_FOLDER)
    assert str(folder / "config.json") in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_config_that_is_no_json_object_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        open_checkpoint(folder, VQGAN_FOLDER)


def test_a_codebook_larger_than_the_image_vocabulary_is_refused(folder):
    edit_config(folder, image_vocab_size=100, decoder_start_token_id=100)
    with pytest.raises(CheckpointError, match="a codebook of 128 entries"):
        open_checkpoint(folder, VQGAN_FOLDER)


def test_the_vqgan_is_found_inside_the_checkpoint_and_beside_it(folder):
    beside = shutil.copytree(VQGAN_FOLDER, folder.parent / "vqgan")
    assert open_checkpoint(folder).vqgan_folder == beside
    inside = shutil.copytree(VQGAN_FOLDER, folder / "vqgan")
    assert open_checkpoint(folder).vqgan_folder == inside


def test_no_vqgan_anywhere_says_where_it_was_looked_for(folder):
    with pytest.raises(CheckpointNotFoundError, match="--vqgan"):
        open_checkpoint(folder)


def test_a_checkpoint_without_sampling_file_gets_upstreams_defaults(folder):
    assert open_checkpoint(folder, VQGAN_FOLDER).sampling == UPSTREAM_SAMPLING


def test_a_checkpoint_may_bring_its_own_sampling_defaults(folder):
    (folder / "sampling.json").write_text(
        '{"condScale": 3, "temperature": 0.9, "topK": 20, "topP": 1}'
    )
    sampling = open_checkpoint(folder, VQGAN_FOLDER).sampling
    assert (sampling.cond_scale, sampling.temperature, sampling.top_k) == (3.0, 0.9, 20)


def test_sampling_defaults_outside_the_limits_are_refused(folder):
    (folder / "sampling.json").write_text(
        '{"condScale": -3, "temperature": 1, "topK": 20, "topP": 1}'
    )
    with pytest.raises(ConfigError, match=r"sampling\.json: cond_scale is -3"):
        open_checkpoint(folder, VQGAN_FOLDER)


def test_a_missing_weight_file_is_named(folder):
    (folder / "flax_model.msgpack").unlink()
    with pytest.raises(CheckpointNotFoundError, match=r"flax_model\.msgpack: no such file"):
        load(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "decoder.pt"])
def test_weights_of_pytorch_are_refused_before_anything_is_read(folder, name):
    (folder / "flax_model.msgpack").rename(folder / name)
    with pytest.raises(CheckpointError, match=f"{name}: weights of PyTorch"):
        open_checkpoint(folder, VQGAN_FOLDER)


def test_a_stable_diffusion_folder_is_refused(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ConfigError, match="a Stable Diffusion pipeline"):
        open_checkpoint(tmp_path, VQGAN_FOLDER)


def test_the_content_hash_is_of_both_files_and_stable(folder):
    digest = load(folder).digest
    assert digest == load(model_folder("mini-scan")).digest
    assert digest != load(model_folder("mini-unrolled")).digest
    assert len(digest) == 64
