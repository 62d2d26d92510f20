"""Step `export`: write checkpoints/nano in the file layout of the published checkpoints.

DalleBart's layers are stacked as upstream's scanned files hold them; all weights are float16. The
folder is built beside the old one and put in its place at the end, so that a reader sees a whole
checkpoint or none.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict

from sidecar.checkpoint.names import LAYER_CLASS, replace_prefix, upstream_names
from sidecar.model.config import PUBLISHED, Side
from training.fit.params import Params
from training.fit.run import Run
from training.language.tokenizer import load_tokenizer, tokenizer_folder
from training.paths import CHECKPOINT, NOTICE, work_file, write_json
from training.steps.codebook import Codebook
from training.steps.model_card import model_card
from training.steps.transformer import STATE as TRANSFORMER_STATE
from training.steps.transformer import transformer_json
from training.steps.vqgan_decoder import STATE as VQGAN_STATE
from training.steps.vqgan_decoder import vqgan_json
from training.steps.vqgan_encoder import STATE as ENCODER_STATE

LeafPath = tuple[str, ...]

SAMPLING = {"condScale": 1.25, "temperature": 0.5, "topK": 50, "topP": 1.0}
"""This checkpoint's sampling defaults, chosen with `training.evaluation.evaluate --sweep`."""


def to_upstream_scan(params: Params) -> Params:
    """Our tree (a subtree per layer, our names) as upstream's scanned tree.

    The inverse of what `sidecar.checkpoint.weights` does when it reads a file.
    """
    sides: tuple[Side, ...] = ("encoder", "decoder")
    names = {
        side: [(ours, theirs) for theirs, ours in upstream_names(PUBLISHED, side).items()]
        for side in sides
    }
    stacks: dict[LeafPath, dict[int, np.ndarray]] = {}
    renamed: dict[LeafPath, np.ndarray] = {}
    for path, value in cast(dict[LeafPath, np.ndarray], flatten_dict(params)).items():
        match path:
            case ("encoder" | "decoder" as side, layer, *rest) if layer.startswith("layers_"):
                inner = replace_prefix(tuple(rest), names[side])
                stack = ("model", side, "layers", f"{LAYER_CLASS[side]}s", *inner)
                stacks.setdefault(stack, {})[int(layer.removeprefix("layers_"))] = value
            case ("encoder" | "decoder" as side, *rest):
                renamed["model", side, *replace_prefix(tuple(rest), names[side])] = value
            case _:
                renamed[path] = value
    for path, layers in stacks.items():
        renamed[path] = np.stack([layers[index] for index in range(len(layers))])
    return unflatten_dict(dict(sorted(renamed.items())))


def write_weights(params: Params, path: Path) -> None:
    """A msgpack file as flax writes it, float16."""
    half = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=np.float16), params)
    path.write_bytes(serialization.to_bytes(half))


def export(folder: Path) -> None:
    """Write the checkpoint from the states of the training steps."""
    transformer = Run.load(work_file(TRANSFORMER_STATE))
    vqgan, encoder = Run.load(work_file(VQGAN_STATE)), Run.load(work_file(ENCODER_STATE))
    codes, words = Codebook.load().size, load_tokenizer().get_vocab_size()
    building = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    (building / "vqgan").mkdir(parents=True)
    shutil.copytree(tokenizer_folder(), building, dirs_exist_ok=True)
    write_json(building / "config.json", transformer_json(words, codes))
    write_weights(to_upstream_scan(transformer.params), building / "flax_model.msgpack")
    write_json(building / "sampling.json", SAMPLING)
    write_json(building / "vqgan" / "config.json", vqgan_json(codes))
    write_weights(vqgan.params | encoder.params, building / "vqgan" / "flax_model.msgpack")
    evaluation, reconstruction = _record("evaluation.json"), _record("reconstruction.json")
    shutil.copy(NOTICE, building / "NOTICE")
    card = model_card(transformer, vqgan, encoder, evaluation, reconstruction)
    (building / "README.md").write_text(card, encoding="utf-8")
    _replace(folder, building)


def _record(name: str) -> Any:
    """What a step measured, or None before it has."""
    path = work_file(name)
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def _replace(folder: Path, building: Path) -> None:
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    building.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """Export and print the sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=CHECKPOINT)
    folder = parser.parse_args().folder
    export(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        print(f"{path.stat().st_size:9d}  {path.relative_to(folder)}")
    print(f"{sum(path.stat().st_size for path in files):9d}  in total")


if __name__ == "__main__":
    main()
