"""Finding checkpoints, reading their configs and tokenizers: what is refused, in which words."""

import shutil

import numpy as np
import pytest
from support.damage import WEIGHTS, add_words, edit_json, edit_leaf
from support.refusal import assert_refused, load, read_all

from sidecar.checkpoint.folder import open_checkpoint
from sidecar.checkpoint.sampling_defaults import UPSTREAM_SAMPLING

CONFIG, VQGAN_CONFIG = "config.json", "vqgan/config.json"
INVALID = "checkpoint_invalid"
UNSUPPORTED = "config_unsupported"
NOT_FOUND = "checkpoint_not_found"
REQUIRED = [
    "d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "encoder_vocab_size",
    "max_text_length", "decoder_layers", "decoder_attention_heads", "decoder_ffn_dim",
    "image_vocab_size", "image_length", "decoder_start_token_id", "model_type",
]  # fmt: skip
VQGAN_REQUIRED = ["ch", "ch_mult", "num_res_blocks", "n_embed", "embed_dim"]


def test_the_undamaged_checkpoint_is_read(folder):
    assert len(read_all(folder).digest) == 64


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (CONFIG, {"model_type": "bart"}, "model_type is 'bart', expected 'dallebart'"),
        (CONFIG, {"model_type": "bart"}, "the first DALL·E mini of flax-community"),
        (CONFIG, {"model_type": None, "_class_name": "FlaxStableDiffusionPipeline"},
         "Stable Diffusion"),
        (CONFIG, {"model_type": None, "ch_mult": [1, 2]}, "give it with --vqgan"),
        (CONFIG, {"use_alibi": True},
         "use_alibi is True, supported is False (upstream's code cannot run"),
        (CONFIG, {"tie_word_embeddings": True}, "tie_word_embeddings is True, supported is False"),
        (CONFIG, {"use_final_ln_decoder": False}, "use_final_ln_decoder is False, supported is True"),
        (CONFIG, {"use_swin_position_embeddings": True}, "upstream's code cannot generate"),
        (CONFIG, {"ln_positions": "postln"}, "supported is 'normformer' or 'preln' or 'cogview'"),
        (CONFIG, {"ln_positions": "deepnet"}, "ln_positions is 'deepnet', supported is 'normformer'"),
        (CONFIG, {"ln_type": "batchnorm"},
         "ln_type is 'batchnorm', supported is 'layernorm' or 'rmsnorm'"),
        (CONFIG, {"activation_function": "tanh"}, "use a checkpoint with a supported value"),
        (CONFIG, {"use_glu": 1}, "use_glu is 1, supported is True or False"),
        (CONFIG, {"sinkhorn_iters": 0}, "sinkhorn_iters is 0, expected a positive integer"),
        (CONFIG, {"tau_init": 0}, "tau_init is 0.0, expected a positive number"),
        (CONFIG, {"encoder_layers": 10**9}, "encoder_layers is 1000000000, expected at most 256"),
        (CONFIG, {"d_model": 10**30}, "expected at most"),
        (CONFIG, {"d_model": "48"}, "d_model is '48', expected int"),
        (CONFIG, {"d_model": True}, "d_model is True, expected int"),
        (CONFIG, {"d_model": None}, "d_model is None, expected int"),
        (CONFIG, {"decoder_layers": 0}, "decoder_layers is 0, expected a positive integer"),
        (CONFIG, {"decoder_attention_heads": 5}, "not a multiple of decoder_attention_heads 5"),
        (CONFIG, {"image_length": 63}, "image_length is 63, expected a square number"),
        (CONFIG, {"decoder_start_token_id": 129}, "outside the image table of 129 rows"),
        (VQGAN_CONFIG, {"resolution": 63}, "resolution 63 cannot be halved"),
        (VQGAN_CONFIG, {"ch": 2**40}, "expected at most"),
        *((CONFIG, {key: ...}, f"{key} is None, expected") for key in REQUIRED),
        *((VQGAN_CONFIG, {key: ...}, f"{key} is None, expected") for key in VQGAN_REQUIRED),
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_served_is_refused_by_file_key_and_value(
    folder, file, change, words
):
    edit_json(folder / file, **change)
    assert_refused(folder, f"{folder / file}: ", words, code=UNSUPPORTED)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "[" * 100_000, '{"d_model": 1e999}', "\x00"]
)
@pytest.mark.parametrize("file", [CONFIG, VQGAN_CONFIG])
def test_a_config_that_is_none(folder, file, content):
    (folder / file).write_text(content)
    assert_refused(folder, f"{folder / file}: ", code=UNSUPPORTED)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (CONFIG, {"decoder_layers": 5}, "config.json asks for (5,"),
        (CONFIG, {"encoder_ffn_dim": 17}, "config.json asks for"),
        (CONFIG, {"use_glu": False}, "is not a parameter of this model"),
        (CONFIG, {"use_bias": False}, "bias is not a parameter of this model"),
        (CONFIG, {"use_head_scale": True}, "FlaxBartAttention_1/head_scale is missing"),
        (CONFIG, {"ln_type": "rmsnorm"}, "is not a parameter of this model"),
        (CONFIG, {"image_vocab_size": 100, "decoder_start_token_id": 100},
         "a codebook of 128 entries"),
        (VQGAN_CONFIG, {"embed_dim": 25}, "config.json asks for (1, 1, 25, 40)"),
        (VQGAN_CONFIG, {"num_res_blocks": 2}, "is missing"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_belong_to_its_weights(folder, file, change, words):
    edit_json(folder / file, **change)
    assert_refused(folder, words)


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def rename(name, other):
    return lambda folder: (folder / name).rename(folder / other)


def remove(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def without_a_pad_token(folder):
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<pad>", "<gap>"))


def become_a_diffusion_model(folder):
    remove(WEIGHTS)(folder)
    write("model_index.json", "{}")(folder)


FILES = {
    "ids beyond the table":
        (add_words, INVALID, "ids up to 100099, but model/encoder/embed_tok"),
    "no pad token": (without_a_pad_token, INVALID, "tokenizer lacks <pad>"),
    "a tokenizer that is no json": (write("tokenizer.json", "{"), INVALID, "is not a tokenizer"),
    "an empty tokenizer": (write("tokenizer.json", ""), INVALID, "is not a tokenizer"),
    "no tokenizer": (remove("tokenizer.json", "vocab.json"), INVALID, "has no tokenizer"),
    "no weights": (remove(WEIGHTS), NOT_FOUND, f"{WEIGHTS}: no such file"),
    "no vqgan": (rename("vqgan", "other"), NOT_FOUND, "--vqgan"),
    "Stable Diffusion": (become_a_diffusion_model, UNSUPPORTED, "a Stable Diffusion pipeline"),
    "sampling outside the limits": (
        write("sampling.json", '{"condScale": -3, "temperature": 1, "topK": 20, "topP": 1}'),
        UNSUPPORTED, "sampling.json: cond_scale is -3",
    ),
    **{
        name: (rename(WEIGHTS, name), INVALID, f"{name}: weights of PyTorch")
        for name in ("pytorch_model.bin", "model.safetensors", "decoder.pt")
    },
}  # fmt: skip


@pytest.mark.parametrize(("damage", "code", "words"), FILES.values(), ids=FILES)
def test_a_folder_that_lacks_a_file_or_has_another(folder, damage, code, words):
    damage(folder)
    assert_refused(folder, words, code=code)


def test_the_vqgan_is_found_inside_the_checkpoint_and_beside_it(folder):
    inside, beside = folder / "vqgan", folder.parent / "vqgan"
    shutil.copytree(inside, beside)
    assert open_checkpoint(folder).vqgan_folder == inside
    shutil.rmtree(inside)
    assert open_checkpoint(folder).vqgan_folder == beside


def test_a_checkpoint_without_sampling_file_gets_upstreams_defaults(folder):
    assert open_checkpoint(folder).sampling == UPSTREAM_SAMPLING


def test_a_checkpoint_may_bring_its_own_sampling_defaults(folder):
    write("sampling.json", '{"condScale": 3, "temperature": 0.9, "topK": 20, "topP": 1}')(folder)
    sampling = open_checkpoint(folder).sampling
    assert (sampling.cond_scale, sampling.temperature, sampling.top_k) == (3.0, 0.9, 20)


def test_the_content_hash_is_of_both_files_and_stable(folder):
    digests = {load(folder).digest, load(folder).digest}
    edit_leaf(folder, "lm_head/kernel", np.negative)
    digests.add(load(folder).digest)
    edit_leaf(folder, "decoder/conv_out/kernel", np.negative, "vqgan/flax_model.msgpack")
    digests.add(load(folder).digest)
    assert len(digests) == 3
