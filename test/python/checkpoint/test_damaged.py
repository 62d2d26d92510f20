"""Damaged checkpoints: each ends the start for good, with one line that names the file."""

import random
import shutil
import tracemalloc

import jax.numpy as jnp
import msgpack
import numpy as np
import pytest
from support.damage import WEIGHTS, add_words, array, copy, edit_json, edit_leaf
from support.goldens import VQGAN_FOLDER, model_folder

from sidecar.checkpoint.folder import load_weights, open_checkpoint, open_text
from sidecar.checkpoint.msgpack_index import index_leaves
from sidecar.checkpoint.weight_files import CheckpointError
from sidecar.failure import classify

MODEL = "variant-bias"
CONFIG, VQGAN_WEIGHTS = "config.json", "vqgan/flax_model.msgpack"
VQGAN_CONFIG = "vqgan/config.json"
SIZE = (model_folder(MODEL) / WEIGHTS).stat().st_size
VQGAN_SIZE = (VQGAN_FOLDER / WEIGHTS).stat().st_size
RANDOM = random.Random(6)

ENCODER = "model/encoder/layers/FlaxBartEncoderLayers"
DECODER = "model/decoder/layers/FlaxBartDecoderLayers"
LEAVES = [
    "lm_head/kernel",
    "model/encoder/embed_tokens/embedding",
    "model/decoder/embed_positions/embedding",
    "model/encoder/final_ln/bias",
    f"{ENCODER}/FlaxBartAttention_0/q_proj/kernel",
    f"{DECODER}/FlaxBartAttention_1/v_proj/bias",
    f"{DECODER}/GLU_0/Dense_2/kernel",
]


@pytest.fixture
def folder(tmp_path):
    """A small checkpoint with tokenizer and VQGAN, to be damaged."""
    folder = shutil.copytree(model_folder(MODEL), tmp_path / "checkpoint", copy_function=copy)
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        copy(model_folder("mini-scan") / name, folder / name)
    shutil.copytree(VQGAN_FOLDER, folder / "vqgan", copy_function=copy)
    return folder


def read(folder):
    """All that a start reads of a checkpoint, in its order."""
    found = open_checkpoint(folder)
    open_text(found)
    return load_weights(found, jnp.dtype("float32"))


def assert_refused(folder, *words):
    """A permanent failure in one line of readable length, which has the words."""
    with pytest.raises(Exception) as refused:  # noqa: PT011  classify says which one it is
        read(folder)
    code, is_retryable = classify(refused.value)
    reason = str(refused.value)
    assert (is_retryable, code) in [
        (False, "checkpoint_invalid"),
        (False, "config_unsupported"),
        (False, "checkpoint_not_found"),
    ]
    assert "\n" not in reason
    assert len(reason) < 1000
    for word in (str(folder), *words):
        assert word in reason


def test_the_undamaged_checkpoint_is_read(folder):
    assert len(read(folder).digest) == 64


CUTS = [0, 1, SIZE - 1, *(RANDOM.randrange(SIZE) for _ in range(12))]


@pytest.mark.parametrize("keep", CUTS)
def test_weights_cut_short(folder, keep):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:keep])
    assert_refused(folder, f"{path}:", "cut short, download it again")


@pytest.mark.parametrize("keep", [0, *(RANDOM.randrange(VQGAN_SIZE) for _ in range(4))])
def test_a_vqgan_cut_short(folder, keep):
    path = folder / VQGAN_WEIGHTS
    path.write_bytes(path.read_bytes()[:keep])
    assert_refused(folder, f"{path}:", "cut short")


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_of_another_shape(folder, leaf):
    edit_leaf(folder, leaf, lambda value: np.concatenate([value, value], axis=-1))
    assert_refused(folder, f"{WEIGHTS}: {leaf} has shape", "config.json asks for")


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_missing_leaf(folder, leaf):
    edit_leaf(folder, leaf, lambda _: None)
    assert_refused(folder, f"{WEIGHTS}: {leaf} is missing")


@pytest.mark.parametrize(
    "leaf", ["extra", "model/encoder/final_ln/scale", f"{DECODER}/LayerNorm_7/bias"]
)
def test_a_left_over_leaf(folder, leaf):
    edit_leaf(folder, leaf, lambda _: np.zeros(3, np.float32))
    assert_refused(folder, f"{WEIGHTS}: {leaf} is not a parameter of this model")


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_a_leaf_with_a_number_that_is_none(folder, leaf, number):
    def spoil(value):
        value = value.copy()
        value.flat[value.size // 2] = number
        return value

    edit_leaf(folder, leaf, spoil)
    assert_refused(folder, f"{WEIGHTS}: {leaf} holds NaN or infinity")


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "complex64", "bool"])
def test_a_leaf_of_another_dtype(folder, dtype):
    edit_leaf(folder, "lm_head/kernel", lambda value: value.astype(dtype))
    assert_refused(folder, f"{WEIGHTS}: lm_head/kernel: dtype is '{dtype}', expected float32")


@pytest.mark.parametrize(
    "leaf",
    ["quantize/embedding/embedding", "decoder/conv_out/kernel", "decoder/mid/attn_1/q/bias"],
)
def test_a_damaged_leaf_of_the_vqgan(folder, leaf):
    edit_leaf(folder, leaf, lambda value: value * np.float32(np.nan), VQGAN_WEIGHTS)
    assert_refused(folder, f"{VQGAN_WEIGHTS}: {leaf} holds NaN")
    edit_leaf(folder, leaf, lambda _: None, VQGAN_WEIGHTS)
    assert_refused(folder, f"{VQGAN_WEIGHTS}: {leaf} is missing")


def chunked(shape, chunks):
    return {"__msgpack_chunked_array__": True, "shape": shape, "chunks": chunks}


HOSTILE = {
    "nothing but text": b"not msgpack at all",
    "a page of a web server": b"<!DOCTYPE html><title>404</title>",
    "a zip archive": b"PK\x03\x04" + bytes(100),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a list": msgpack.packb([1, 2]),
    "a number for a leaf": msgpack.packb({"a": 1}),
    "another extension": msgpack.packb({"a": msgpack.ExtType(9, b"")}),
    "junk for an array": msgpack.packb({"a": msgpack.ExtType(1, b"junk")}),
    "bytes behind the end": b"\x81\xa1a\x80" + b"\x00",
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff",
    "a map of maps of 4 billion": b"\xdf\xff\xff\xff\xff\xa1a" * 8,
    "an extension of 4 GB": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
    "a name of 4 GB": b"\x81\xdb\xff\xff\xff\xff",
    "deep nesting": b"\x81\xa1a" * 5000,
    "deep nesting of lists": b"\x81\xa1a" + b"\x91" * 5000,
    "a shape of exabytes": msgpack.packb({"a": array((2**40, 2**40))}),
    "a shape whose product is 0": msgpack.packb({"a": array((0, 2**60), data=b"1234")}),
    "a negative shape": msgpack.packb({"a": array((-1, 4), data=bytes(16))}),
    "a shape of a million numbers": msgpack.packb({"a": array((1,) * 10**6, data=bytes(4))}),
    "too few bytes": msgpack.packb({"a": array((4,), data=bytes(15))}),
    "a dtype that is Python": msgpack.packb({"a": array((1,), "object", bytes(8))}),
    "a name that is no text": msgpack.packb({b"\xff\xfe": array((1,), data=bytes(4))}),
    "a leaf twice": b"\x82" + 2 * (b"\xa1a" + msgpack.Packer().pack(array((1,), data=bytes(4)))),
    "chunks that do not fill it": msgpack.packb(
        {"a": chunked({"0": 8}, {"0": array((4,), data=bytes(16))})}
    ),
    "no chunks": msgpack.packb({"a": chunked({"0": 8}, {})}),
    "chunks of exabytes": msgpack.packb({"a": chunked({"0": 2**60}, {"0": array((2**60,))})}),
    "chunks of two dtypes": msgpack.packb(
        {"a": chunked({"0": 2}, {
            "0": array((1,), data=bytes(4)), "1": array((1,), "float16", bytes(2)),
        })}
    ),
    "a chunk too few": msgpack.packb({"a": chunked({"0": 2}, {"1": array((2,), data=bytes(8))})}),
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_weights_that_are_not_what_flax_writes(tmp_path, content):
    path = tmp_path / WEIGHTS
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as refused:
            index_leaves(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    assert peak < 10_000_000


def test_weights_that_are_not_what_flax_writes_end_the_start(folder):
    (folder / WEIGHTS).write_bytes(HOSTILE["a Git LFS pointer"])
    assert_refused(folder, "a Git LFS pointer, not the file itself: run git lfs pull")


REQUIRED = [
    "d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "encoder_vocab_size",
    "max_text_length", "decoder_layers", "decoder_attention_heads", "decoder_ffn_dim",
    "image_vocab_size", "image_length", "decoder_start_token_id", "model_type",
]  # fmt: skip


@pytest.mark.parametrize("key", REQUIRED)
def test_a_config_without_a_key(folder, key):
    edit_json(folder / CONFIG, **{key: ...})
    assert_refused(folder, f"{folder / CONFIG}: {key} is None, expected")


@pytest.mark.parametrize("key", ["ch", "ch_mult", "num_res_blocks", "n_embed", "embed_dim"])
def test_a_vqgan_config_without_a_key(folder, key):
    edit_json(folder / VQGAN_CONFIG, **{key: ...})
    assert_refused(folder, f"{folder / VQGAN_CONFIG}: {key} is None, expected")


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (CONFIG, {"decoder_layers": 5}, "config.json asks for (5,"),
        (CONFIG, {"encoder_ffn_dim": 17}, "config.json asks for"),
        (CONFIG, {"use_glu": False}, "is not a parameter of this model"),
        (CONFIG, {"use_bias": False}, "bias is not a parameter of this model"),
        (CONFIG, {"use_head_scale": True}, "FlaxBartAttention_1/head_scale is missing"),
        (CONFIG, {"ln_type": "rmsnorm"}, "is not a parameter of this model"),
        (VQGAN_CONFIG, {"embed_dim": 25}, "config.json asks for (1, 1, 25, 40)"),
        (VQGAN_CONFIG, {"num_res_blocks": 2}, "is missing"),
        (VQGAN_CONFIG, {"resolution": 63}, "resolution 63 cannot be halved"),
        (VQGAN_CONFIG, {"ch": 2**40}, "expected at most"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_belong_to_its_weights(folder, file, change, words):
    edit_json(folder / file, **change)
    assert_refused(folder, words)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "[" * 100_000, '{"d_model": 1e999}', "\x00"]
)
@pytest.mark.parametrize("file", [CONFIG, VQGAN_CONFIG])
def test_a_config_that_is_none(folder, file, content):
    (folder / file).write_text(content)
    assert_refused(folder, f"{folder / file}: ")


def without_a_pad_token(folder):
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<pad>", "<gap>"))


TOKENIZERS = {
    "ids beyond the table": (add_words, "ids up to 100099, but model/encoder/embed_tok"),
    "no pad token": (without_a_pad_token, "tokenizer lacks <pad>"),
    "no json": (lambda folder: (folder / "tokenizer.json").write_text("{"), "is not a tokenizer"),
    "empty": (lambda folder: (folder / "tokenizer.json").write_text(""), "is not a tokenizer"),
    "no file": (lambda folder: [(folder / name).unlink() for name in
                                ("tokenizer.json", "vocab.json")], "has no tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_tokenizer_that_cannot_be_used(folder, damage, words):
    damage(folder)
    assert_refused(folder, words)
