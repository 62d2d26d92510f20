"""Ways to damage a checkpoint, shared by the tests of damaged ones.

As a program, `damage.py SOURCE TARGET`, it copies the checkpoint SOURCE to TARGET/<name> once for
each class of damage, for the tests that start a whole server on it.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import msgpack
import numpy as np
from flax import serialization

WEIGHTS = "flax_model.msgpack"
# 16 GiB that the file does not have: taken in good faith, they break any limit of memory here.
HUGE_SHAPE = (2**16, 2**16)


def edit_json(path, **changes):
    """Replace values of a JSON object; `...` removes the key."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


def edit_leaf(folder, name, edit, file=WEIGHTS):
    """Replace a leaf by what `edit` makes of it; by nothing if that is None."""
    path = folder / file
    tree = cast("dict[str, Any]", serialization.msgpack_restore(path.read_bytes()))
    *parents, last = name.split("/")
    place = tree
    for parent in parents:
        place = place.setdefault(parent, {})
    value = edit(place.pop(last, None))
    if value is not None:
        place[last] = value
    path.write_bytes(serialization.msgpack_serialize(tree))


def array(shape, dtype="float32", data=b""):
    """An array as flax packs it."""
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, data)))


def cut_weights(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def spoil(value, number=np.nan):
    """The array with `number` in its middle."""
    value = value.copy()
    value.flat[value.size // 2] = number
    return value


def add_words(folder):
    """Give the tokenizer ids that the model has no rows for."""
    path = folder / "tokenizer.json"
    model = json.loads(path.read_text())["model"]
    model["vocab"] |= {f"word{number}": number for number in range(100_000, 100_100)}
    edit_json(path, model=model)


def make_t5(folder):
    config = {"model_type": "t5", "architectures": ["T5Model"], "d_model": 512, "num_layers": 6}
    (folder / "config.json").write_text(json.dumps(config))


def write_weights(content):
    return lambda folder: (folder / WEIGHTS).write_bytes(content)


DAMAGES = {
    "none": lambda folder: folder,
    "weights-cut-short": cut_weights,
    "a-number-that-is-none": lambda folder: edit_leaf(folder, "lm_head/kernel", spoil),
    "a-leaf-of-another-shape": lambda folder: edit_leaf(folder, "lm_head/kernel", np.transpose),
    "a-missing-leaf": lambda folder: edit_leaf(folder, "lm_head/kernel", lambda _: None),
    "a-leaf-too-many": lambda folder: edit_leaf(folder, "extra", lambda _: np.zeros(3, np.float32)),
    "a-config-without-a-key": lambda folder: edit_json(folder / "config.json", d_model=...),
    "a-config-of-another-family": make_t5,
    "ids-beyond-the-table": add_words,
    "a-huge-array": write_weights(msgpack.packb({"lm_head": {"kernel": array(HUGE_SHAPE)}})),
    "maps-of-4-billion": write_weights(b"\xdf\xff\xff\xff\xff\xa1a" * 8),
    "no-vqgan": lambda folder: shutil.rmtree(folder / "vqgan"),
}


def main():
    source, target = map(Path, sys.argv[1:])
    for name, damage in DAMAGES.items():
        damage(shutil.copytree(source, target / name, copy_function=shutil.copyfile))


if __name__ == "__main__":
    main()
