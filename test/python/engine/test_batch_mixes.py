"""Same seed, same bits, whatever else is in the batch: Nano in random batches.

    BATCH_MIXES=200 .venv/bin/python -m pytest test/python/engine/test_batch_mixes.py

Compares the caches of every layer, where a product that rounds in another way shows at once, and
the tokens drawn from them.
"""

import itertools
import os
import random
from dataclasses import replace

import jax
import numpy as np
import pytest
from conftest import REPO_ROOT

from sidecar.engine.engine import CPU_TILE_SLOTS
from sidecar.loading import load_checkpoint
from sidecar.wire.messages import SamplingSettings

MIXES = int(os.environ.get("BATCH_MIXES", "8"))
SLOTS = 9
CHUNK = 16
TOKENS = 3 * CHUNK
PROMPTS = ("an old town by the sea at dawn", "a red circle", "")
SAMPLINGS = (
    SamplingSettings(),
    SamplingSettings(cond_scale=1.0, temperature=0.7),
    SamplingSettings(top_k=0, top_p=0.9),
)


@pytest.fixture(scope="module", params=["bfloat16", "float32"])
def nano(request):
    folder = REPO_ROOT / "checkpoints" / "nano"
    checkpoint = load_checkpoint(folder, precision=request.param, slots=SLOTS)
    engine = checkpoint.create_engine(slots=SLOTS, chunk_tokens=CHUNK)
    kinds = enumerate(itertools.product(PROMPTS, SAMPLINGS))
    tasks = [
        checkpoint.create_request(str(index), prompt, 100 + index, sampling)
        for index, (prompt, sampling) in kinds
    ]
    return engine, tasks


def bits(engine, slot):
    """The tokens drawn in a slot and the caches of all layers."""
    tile, place = divmod(slot, CPU_TILE_SLOTS)
    batch = engine._tiles[tile]
    past = [np.asarray(part)[place, :, :, :TOKENS] for part in jax.tree.leaves(batch.past)]
    return b"".join(part.tobytes() for part in [np.asarray(batch.tokens)[place, :TOKENS], *past])


def take_finished(engine):
    """Step; task ids and bits of what has drawn its tokens, which is then cancelled."""
    engine.step()
    found = []
    for slot, (task, drawn) in enumerate(zip(engine._tasks, engine._drawn, strict=True)):
        if task is not None and drawn == TOKENS:
            found.append((int(task[0]), bits(engine, slot)))
            engine.cancel(task)
    return found


def draw_until_idle(engine):
    found = []
    while engine.running:
        found += take_finished(engine)
    return found


def test_a_task_draws_the_same_bits_in_every_batch_slot_and_company(nano):
    engine, tasks = nano
    alone = []
    for task in tasks:
        engine.admit(task)
        alone += draw_until_idle(engine)
    randoms = random.Random(0)
    attempts = itertools.count()
    found = []
    for _ in range(MIXES):
        for index in randoms.choices(range(len(tasks)), k=randoms.randint(2, SLOTS + 3)):
            # Now and then a chunk between two, so that the tasks of a batch differ in age.
            while not engine.free_slots or (engine.running and randoms.random() < 0.2):
                found += take_finished(engine)
            engine.admit(replace(tasks[index], attempt=next(attempts)))
        found += draw_until_idle(engine)
    assert len(found) == next(attempts)
    different = [index for index, drawn in found if drawn != alone[index][1]]
    assert different == []
