"""Writes a checkpoint with the shapes of a published one and random weights, leaf by leaf.

    .venv/bin/python bench/synthetic.py Mini /tmp/mini

The shapes of DalleBart are those that upstream's own notebook prints, not what this program would
ask for. The tokenizer is the small one of the test fixtures; the VQGAN goes into the folder `vqgan`
inside.
"""

import json
import math
import shutil
import sys
from collections.abc import Iterator, Mapping
from io import BufferedWriter
from pathlib import Path

import msgpack
import numpy as np

Shape = tuple[int, ...]
Tree = dict[str, "Tree | Shape"]

BLOCK_NUMBERS = 1_000_003
ROOT = Path(__file__).parents[1]
TOKENIZER = ROOT / "test" / "fixtures" / "upstream" / "models" / "mini-scan"
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")


def _config(layers: int, heads: int, inner: int, **sizes: int) -> Mapping[str, object]:
    each = {"layers": layers, "attention_heads": heads, "ffn_dim": inner}
    sides = {f"{side}_{key}": each[key] for side in ("encoder", "decoder") for key in each}
    return sides | sizes | {
        "model_type": "dallebart",
        "use_scan": True,
        "normalize_text": True,
        "image_length": 256,
        "max_text_length": 64,
        "decoder_start_token_id": 16384,
    }  # fmt: skip


CONFIGS = {
    "Mini": _config(12, 16, 2730, d_model=1024, encoder_vocab_size=50264, image_vocab_size=16384),
    "Mega": _config(24, 32, 4096, d_model=2048, encoder_vocab_size=50272, image_vocab_size=16415),
}
VQGAN_CONFIG: Mapping[str, object] = {
    "ch": 128,
    "ch_mult": [1, 1, 2, 2, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [16],
    "resolution": 256,
    "z_channels": 256,
    "embed_dim": 256,
    "n_embed": 16384,
}


def write_checkpoint(name: str, folder: Path) -> int:
    """Write `Mini` or `Mega` in float32 with its VQGAN; returns DalleBart's parameter count."""
    vqgan = folder / "vqgan"
    vqgan.mkdir(parents=True)
    for file in TOKENIZER_FILES:
        shutil.copy(TOKENIZER / file, folder)
    config = CONFIGS[name]
    (folder / "config.json").write_text(json.dumps(config))
    (vqgan / "config.json").write_text(json.dumps(VQGAN_CONFIG))
    _write_weights(vqgan / "flax_model.msgpack", vqgan_shapes())
    return _write_weights(folder / "flax_model.msgpack", dallebart_shapes(config))


def dallebart_shapes(config: Mapping[str, object]) -> Tree:
    """The published parameter tree: layers stacked, kernels [in, out]."""
    size = {key: value for key, value in config.items() if isinstance(value, int)}
    width, rows = size["d_model"], size["image_vocab_size"] + 1
    return {
        "lm_head": {"kernel": (width, rows)},
        "model": {
            "decoder": _side(size, "decoder", rows, size["image_length"]),
            "encoder": _side(size, "encoder", size["encoder_vocab_size"], size["max_text_length"]),
        },
    }


def vqgan_shapes() -> Tree:
    """Both halves of the published VQGAN; its names are ours, so the model knows the shapes."""
    import jax
    import jax.numpy as jnp

    from sidecar.model.config import VQGANConfig
    from sidecar.model.vqgan_decoder import VQGANDecoder
    from sidecar.model.vqgan_encoder import VQGANEncoder

    config = VQGANConfig.from_json(VQGAN_CONFIG)
    picture = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    tree: Tree = {}
    for module, question in ((VQGANEncoder(config), picture), (VQGANDecoder(config), tokens)):
        shapes = jax.eval_shape(module.init, jax.random.key(0), question)["params"]
        tree |= jax.tree.map(lambda leaf: leaf.shape, shapes)
    return tree


def _side(size: Mapping[str, int], side: str, rows: int, positions: int) -> Tree:
    width, layers, inner = size["d_model"], size[f"{side}_layers"], size[f"{side}_ffn_dim"]

    def scaled(*shape: int) -> Tree:
        return {"bias": shape, "scale": shape}

    attentions = ["FlaxBartAttention_0", "FlaxBartAttention_1"][: 1 + (side == "decoder")]
    layer: Tree = {
        attention: {
            projection: {"kernel": (layers, width, width)}
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj")
        }
        for attention in attentions
    }
    for number in range(len(attentions)):
        layer[f"LayerNorm_{2 * number}"] = {"bias": (layers, width)}
        layer[f"LayerNorm_{2 * number + 1}"] = scaled(layers, width)
    layer["GLU_0"] = {
        "Dense_0": {"kernel": (layers, width, inner)},
        "Dense_1": {"kernel": (layers, width, inner)},
        "Dense_2": {"kernel": (layers, inner, width)},
        "LayerNorm_0": {"bias": (layers, width)},
        "LayerNorm_1": {"bias": (layers, inner)},
    }
    return {
        "embed_positions": {"embedding": (positions, width)},
        "embed_tokens": {"embedding": (rows, width)},
        "final_ln": {"bias": (width,)},
        "layernorm_embedding": scaled(width),
        "layers": {f"FlaxBart{side.capitalize()}Layers": layer},
    }


def _write_weights(path: Path, tree: Tree) -> int:
    """Write random float32 leaves as flax does; returns how many numbers."""
    # Drawing billions of numbers takes longer than anything that is measured: they repeat.
    block = np.random.default_rng(0).normal(0, 0.02, BLOCK_NUMBERS).astype(np.float32)
    with path.open("wb") as file:
        return sum(_write_tree(file, tree, block))


def _write_tree(file: BufferedWriter, tree: Tree, block: np.ndarray) -> Iterator[int]:
    packer = msgpack.Packer()
    file.write(packer.pack_map_header(len(tree)))
    for name, value in tree.items():
        file.write(packer.pack(name))
        if isinstance(value, dict):
            yield from _write_tree(file, value, block)
        else:
            _write_array(file, value, block + np.float32(1) if name == "scale" else block)
            yield math.prod(value)


def _write_array(file: BufferedWriter, shape: Shape, block: np.ndarray) -> None:
    """An extension of type 1 that holds shape, dtype and bytes: the block, as often as it takes."""
    packer, left = msgpack.Packer(), math.prod(shape)
    head = packer.pack_array_header(3) + packer.pack(shape) + packer.pack("float32")
    head += b"\xc6" + (4 * left).to_bytes(4, "big")
    file.write(b"\xc9" + (len(head) + 4 * left).to_bytes(4, "big") + b"\x01" + head)
    while left:
        numbers = block[:left]
        file.write(numbers.data)
        left -= numbers.size


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    print(f"{write_checkpoint(sys.argv[1], Path(sys.argv[2])):,} parameters")
