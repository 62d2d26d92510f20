"""Damaged weights: each damage ends the start for good, with one line that names the file."""

import random
import tracemalloc

import msgpack
import numpy as np
import pytest
from support.damage import WEIGHTS, array, edit_leaf, spoil
from support.goldens import VQGAN_FOLDER, model_folder
from support.refusal import assert_refused

from sidecar.checkpoint.msgpack_index import index_leaves
from sidecar.checkpoint.weight_files import CheckpointError

VQGAN_WEIGHTS = f"vqgan/{WEIGHTS}"
SIZE = (model_folder("variant-bias") / WEIGHTS).stat().st_size
VQGAN_SIZE = (VQGAN_FOLDER / WEIGHTS).stat().st_size
RANDOM = random.Random(6)
CUTS = [
    *((WEIGHTS, keep) for keep in (0, 1, SIZE - 1)),
    *((WEIGHTS, RANDOM.randrange(SIZE)) for _ in range(12)),
    (VQGAN_WEIGHTS, 0),
    *((VQGAN_WEIGHTS, RANDOM.randrange(VQGAN_SIZE)) for _ in range(4)),
]


@pytest.mark.parametrize(("file", "keep"), CUTS)
def test_weights_cut_short(folder, file, keep):
    path = folder / file
    path.write_bytes(path.read_bytes()[:keep])
    assert_refused(folder, f"{path}:", "cut short, download it again")


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
UNKNOWN_LEAVES = ["extra", "model/encoder/final_ln/scale", f"{DECODER}/LayerNorm_7/bias"]
VQGAN_LEAVES = [
    "quantize/embedding/embedding",
    "decoder/conv_out/kernel",
    "decoder/mid/attn_1/q/bias",
]
LEAF_DAMAGES = {
    "missing": (lambda _: None, "is missing"),
    "NaN": (spoil, "holds NaN or infinity"),
    "infinity": (lambda value: spoil(value, -np.inf), "holds NaN or infinity"),
    "another shape": (lambda value: np.concatenate([value, value], axis=-1), "has shape"),
}


@pytest.mark.parametrize(("edit", "words"), LEAF_DAMAGES.values(), ids=LEAF_DAMAGES)
@pytest.mark.parametrize("leaf", LEAVES)
def test_a_damaged_leaf(folder, leaf, edit, words):
    edit_leaf(folder, leaf, edit)
    assert_refused(folder, f"{WEIGHTS}: {leaf} {words}")


@pytest.mark.parametrize("damage", ["missing", "NaN"])
@pytest.mark.parametrize("leaf", VQGAN_LEAVES)
def test_a_damaged_leaf_of_the_vqgan(folder, leaf, damage):
    edit, words = LEAF_DAMAGES[damage]
    edit_leaf(folder, leaf, edit, VQGAN_WEIGHTS)
    assert_refused(folder, f"{VQGAN_WEIGHTS}: {leaf} {words}")


@pytest.mark.parametrize("leaf", UNKNOWN_LEAVES)
def test_a_left_over_leaf(folder, leaf):
    edit_leaf(folder, leaf, lambda _: np.zeros(3, np.float32))
    assert_refused(folder, f"{WEIGHTS}: {leaf} is not a parameter of this model")


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "complex64", "bool"])
def test_a_leaf_of_another_dtype(folder, dtype):
    edit_leaf(folder, "lm_head/kernel", lambda value: value.astype(dtype))
    assert_refused(folder, f"{WEIGHTS}: lm_head/kernel: dtype is '{dtype}', expected float32")


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
