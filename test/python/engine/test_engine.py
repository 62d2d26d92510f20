"""The engine on golden checkpoints: prompt ids in, upstream's tokens and pixels out."""

from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.goldens import VQGAN_FOLDER, golden, model_folder, steps_to_compare

from sidecar.checkpoint.folder import load_weights, open_checkpoint
from sidecar.checkpoint.sampling_defaults import UPSTREAM_SAMPLING
from sidecar.engine.engine import Engine, SlotRequest
from sidecar.wire.messages import SamplingSettings

GREEDY = replace(UPSTREAM_SAMPLING, top_k=1)
CHUNK = 16


def make_engine(name="mini-scan", *, slots=4, chunk_tokens=CHUNK):
    found = open_checkpoint(model_folder(name), VQGAN_FOLDER)
    dtype = jnp.dtype("float32")
    want = golden(name)
    return Engine(
        found.config,
        found.vqgan_config,
        load_weights(found, dtype),
        (np.asarray(want["input_ids_uncond"][0]), np.asarray(want["attention_mask_uncond"][0])),
        sampling=found.sampling,
        slots=slots,
        chunk_tokens=chunk_tokens,
    )


@pytest.fixture(scope="module")
def engine():
    return make_engine()


@pytest.fixture(scope="module")
def want():
    return golden("mini-scan")


def golden_task(want, row, *, task_id=None, seed=0, sampling=GREEDY):
    ids, mask = np.asarray(want["input_ids"][row]), np.asarray(want["attention_mask"][row])
    return SlotRequest(task_id or f"row {row}", ids, mask, seed, sampling)


def run(engine, requests=()):
    """Draw until idle; pixels by task id."""
    return {image.task_id: image.pixels for image in engine.draw_all(requests)}


def tokens_in_slot(engine, slot):
    """What the slot drew; the engine itself never needs to look."""
    return np.asarray(engine._batch.tokens[slot])


def engine_batches(engine):
    return [engine._batch]


@pytest.mark.parametrize("name", ["mini-scan", "variant-hot-extra-ids"])
def test_greedy_tokens_with_and_without_guidance_are_upstreams(name):
    """Two prompts, each with and without guidance, decode side by side in one batch."""
    want = golden(name)
    engine = make_engine(name)
    kinds = [(1.0, "greedy", 1e-3), (10.0, "greedy_cfg10", 5e-3)]
    answers = [(row, *kind) for row in range(2) for kind in kinds]
    run(
        engine,
        [
            golden_task(want, row, task_id=str(slot), sampling=replace(GREEDY, cond_scale=scale))
            for slot, (row, scale, _, _) in enumerate(answers)
        ],
    )
    for slot, (row, _, answer, near_tie) in enumerate(answers):
        # Upstream's answer without the ids outside the codebook, where those could win.
        field = f"{answer}_sliced" if f"{answer}_sliced" in want else answer
        margins = want.get(f"{field}_margin", want[f"{answer}_margin"])
        steps = steps_to_compare(margins[row], near_tie)
        drawn = tokens_in_slot(engine, slot)
        np.testing.assert_array_equal(drawn[:steps], np.asarray(want[field][row])[:steps])
        assert drawn.max() < 128


def test_prompt_ids_in_upstreams_pixels_out(engine, want):
    pixels = run(engine, [golden_task(want, row) for row in range(4)])
    for row in range(4):
        apart = np.abs(pixels[f"row {row}"].astype(int) - np.asarray(want["e2e_pixels"][row]))
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 0.001


def test_an_image_depends_on_its_seed_and_not_on_its_neighbours(engine, want):
    def task(seed):
        return golden_task(want, 0, task_id=str(seed), seed=seed, sampling=UPSTREAM_SAMPLING)

    alone = run(engine, [task(7)])["7"]
    engine.admit(golden_task(want, 1, sampling=replace(UPSTREAM_SAMPLING, top_k=0, top_p=0.9)))
    engine.step()
    beside = run(engine, map(task, (8, 7, 9)))
    np.testing.assert_array_equal(beside["7"], alone)
    assert not np.array_equal(beside["8"], alone)
    assert not np.array_equal(beside["8"], beside["9"])


def test_a_cancelled_task_frees_its_slot_and_gives_no_image(engine, want):
    for row in range(4):
        engine.admit(golden_task(want, row))
    engine.step()
    assert engine.free_slots == 0
    assert engine.cancel(("row 2", 1))
    assert engine.free_slots == 1
    assert not engine.cancel(("row 2", 1))
    assert set(run(engine)) == {"row 0", "row 1", "row 3"}
    assert engine.free_slots == 4


@pytest.mark.parametrize("end", ["finished", "cancelled", "cancelled before its first chunk"])
def test_a_free_slot_asks_for_nothing_whatever_its_last_task_asked_for(engine, want, end):
    wide = replace(UPSTREAM_SAMPLING, top_k=0, top_p=0.5, temperature=2.0)
    engine.admit(golden_task(want, 0, task_id="wide", sampling=wide))
    if end == "finished":
        run(engine)
    elif end == "cancelled":
        engine.step()
    engine.cancel(("wide", 1))
    for batch in engine_batches(engine):
        assert {float(value) for part in batch.settings for value in part} == {1.0}
        assert set(np.asarray(batch.positions)) == {64}


def test_progress_counts_the_tokens_of_each_running_task(engine, want):
    engine.admit(golden_task(want, 0))
    engine.step()
    engine.admit(golden_task(want, 1))
    engine.step()
    assert engine.progress() == [("row 0", 2 * CHUNK), ("row 1", CHUNK)]
    run(engine)
    assert engine.progress() == []


def test_more_requests_than_slots_are_all_drawn_and_every_chunk_is_announced(engine, want):
    requests = [golden_task(want, i % 4, task_id=str(i)) for i in range(6)]
    running = []
    images = list(engine.draw_all(requests, lambda: running.append(len(engine.running))))
    chunks = 64 // CHUNK
    assert [image.task_id for image in images] == ["0", "1", "2", "3", "4", "5"]
    assert running == [4] * chunks + [2] * chunks


def test_a_setting_that_is_left_open_is_the_checkpoints_own(engine, want):
    own = golden_task(want, 0, task_id="own", sampling=UPSTREAM_SAMPLING)
    left_open = golden_task(want, 0, task_id="open", sampling=SamplingSettings(top_k=50))
    images = run(engine, [own, left_open])
    np.testing.assert_array_equal(images["open"], images["own"])


def test_a_chunk_that_does_not_divide_the_image_changes_nothing(want):
    uneven = make_engine(slots=1, chunk_tokens=13)
    run(uneven, [golden_task(want, 0)])
    np.testing.assert_array_equal(tokens_in_slot(uneven, 0), np.asarray(want["greedy_cfg10"][0]))


@contextmanager
def counting_compilations():
    """A list that grows by one with every program that is compiled or read from the cache."""
    compiled = []

    def note(event, duration_secs, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield compiled
    jax.monitoring.unregister_event_duration_listener(note)


def test_compile_reports_its_programs_and_serving_any_number_compiles_nothing_more(want):
    engine = make_engine(slots=5)
    reports = []
    engine.compile(lambda done, total: reports.append((done, total)))
    assert reports == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert engine.free_slots == 5
    with counting_compilations() as between:
        engine.compile_between()
        for work in engine._compiling.values():
            work.result()
    assert list(engine._compiling) == [2, 4]
    assert len(between) == 2
    with counting_compilations() as in_service:
        for count in (1, 2, 3, 4, 5):
            run(engine, [golden_task(want, i % 4, task_id=str(i), seed=i) for i in range(count)])
    assert in_service == []


def test_until_a_program_is_compiled_a_larger_one_draws_the_same_images(engine, want):
    def two_images():
        requests = [golden_task(want, row, seed=row, sampling=SamplingSettings()) for row in (0, 1)]
        return run(engine, requests)

    usual = two_images()
    engine._compiling[2] = Future()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(engine._decode_chunk, 2, None)
        larger = two_images()
    engine._compiling[2].set_result(None)
    for row in ("row 0", "row 1"):
        np.testing.assert_array_equal(larger[row], usual[row])


@given(data=st.data(), row=st.integers(0, 2), scale=st.sampled_from([1.0, 10.0]))
@settings(max_examples=10, deadline=None, derandomize=True, database=None)
def test_what_stands_under_the_pads_never_changes_the_image(engine, want, data, row, scale):
    sampling = replace(UPSTREAM_SAMPLING, cond_scale=scale)
    task = golden_task(want, row, task_id="pads", sampling=sampling)
    junk = data.draw(st.lists(st.integers(0, 598), min_size=len(task.ids), max_size=len(task.ids)))
    other = replace(task, task_id="junk", ids=np.where(task.mask, task.ids, np.int32(junk)))
    images = run(engine, [task, other])
    np.testing.assert_array_equal(images["junk"], images["pads"])
