"""The compute thread on a real checkpoint: commands in, messages out."""

import queue
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from support.damage import edit_leaf
from support.goldens import VQGAN_FOLDER, model_folder
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split

from sidecar.compute import ComputeThread, start_compute
from sidecar.engine.engine import Engine
from sidecar.tasks import prepare_task
from sidecar.wire.messages import (
    Bye,
    Cancel,
    Drain,
    Failed,
    Generate,
    Image,
    Phase,
    Progress,
    Ready,
    SamplingSettings,
    SidecarConfig,
)

CONFIG = SidecarConfig(
    checkpoint=str(model_folder("mini-scan")),
    vqgan=str(VQGAN_FOLDER),
    slots=2,
    chunk_tokens=16,
    precision="float32",
    cache_dir=None,
    beat_interval_ms=1000,
)
TASK = Generate(
    task_id="task",
    attempt=1,
    prompt="a red cat",
    seed=5,
    sampling=SamplingSettings(),
    preview_every=0,
    deadline_in_ms=600_000,
)


def sampled(**settings):
    return {"sampling": SamplingSettings(**settings)}


class Sidecar:
    """A compute thread and what it has said."""

    def __init__(self, config):
        self.said = queue.Queue()
        self.start_up = []
        self.thread = start_compute(config, self.said.put)

    def until(self, kind):
        """The messages up to the first one of a kind, that one last."""
        messages = []
        while not messages or not isinstance(messages[-1], kind):
            try:
                messages.append(self.said.get(timeout=1))
            except queue.Empty:
                assert self.thread.is_alive(), f"ended without {kind.__name__}, said {messages}"
        return messages


@pytest.fixture(scope="module")
def loaded():
    sidecar = Sidecar(CONFIG)
    sidecar.start_up = sidecar.until(Ready)
    yield sidecar
    sidecar.thread.submit(Drain())
    assert isinstance(sidecar.until(Bye)[-1], Bye)
    sidecar.thread.join()


def test_start_up_tells_every_phase_to_its_end_and_then_ready(loaded):
    *phases, ready = loaded.start_up
    assert all(isinstance(phase, Phase) for phase in phases)
    assert list(dict.fromkeys(phase.name for phase in phases)) == ["load", "compile", "warm_up"]
    assert set(ready.phase_seconds) == {"load", "compile", "warm_up"}
    assert (ready.image_width, ready.image_height, ready.image_tokens) == (64, 64, 64)
    assert ready.sampling.defaults.cond_scale == 10
    assert ready.sampling.defaults.top_k == 50


def test_a_task_ends_in_one_image_with_its_seed_and_size(loaded):
    loaded.thread.submit(TASK)
    *before, image = loaded.until(Image)
    assert (image.task_id, image.attempt, image.seed) == ("task", 1, 5)
    assert len(image.payload) == image.width * image.height * 3
    assert (image.text_tokens, image.image_tokens) == (5, 64)
    assert [message.tasks for message in before if isinstance(message, Progress)] == [
        (("task", tokens),) for tokens in (16, 32, 48)
    ]


def test_more_tasks_than_slots_all_end(loaded):
    for index in range(5):
        loaded.thread.submit(replace(TASK, task_id=f"task {index}", seed=index))
    images = [loaded.until(Image)[-1] for _ in range(5)]
    assert {image.task_id for image in images} == {f"task {index}" for index in range(5)}
    assert len({image.payload for image in images}) == 5


def test_a_cancelled_task_ends_in_failed_and_a_second_cancel_says_nothing(loaded):
    for index in range(3):
        loaded.thread.submit(replace(TASK, task_id=f"task {index}"))
    loaded.thread.submit(Cancel("task 2"))
    loaded.thread.submit(Cancel("task 2"))
    messages = loaded.until(Image) + loaded.until(Image)
    failures = [message for message in messages if isinstance(message, Failed)]
    assert [(failed.task_id, failed.code) for failed in failures] == [("task 2", "cancelled")]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (sampled(cond_scale=-1.0), "setting_invalid", "cond_scale is -1.0, expected 0.0 to 100.0"),
        (sampled(temperature=0.0), "setting_invalid", "temperature is 0.0, expected 0.01 to 100.0"),
        (sampled(top_p=1.5), "setting_invalid", "top_p is 1.5, expected 0.0 to 1.0"),
        ({"deadline_in_ms": 0}, "deadline_exceeded", "deadline"),
    ],
)
def test_a_task_that_cannot_run_fails_alone_and_for_good(loaded, change, code, words):
    loaded.thread.submit(replace(TASK, **change))
    failed = loaded.until(Failed)[-1]
    assert (failed.task_id, failed.code) == ("task", code)
    assert words in failed.message
    assert not failed.retryable
    assert not failed.fatal


def test_every_chunk_shows_life_and_the_pulse_names_the_phase(loaded, monkeypatch):
    phases = []
    beat = ComputeThread._beat

    def note(thread, phase):
        phases.append(phase)
        beat(thread, phase)

    monkeypatch.setattr(ComputeThread, "_beat", note)
    loaded.thread.submit(TASK)
    loaded.until(Image)
    phase, age = loaded.thread.pulse()
    assert phases.count("generate") >= 4
    assert phase in ("generate", "idle")
    assert age >= 0


def test_a_prompt_that_is_being_read_counts_as_work_and_not_as_idleness(loaded, monkeypatch):
    phases = []

    def prepare(command, model):
        phases.append(loaded.thread.pulse()[0])
        return prepare_task(command, model)

    monkeypatch.setattr("sidecar.compute.prepare_task", prepare)
    loaded.thread.submit(TASK)
    loaded.until(Image)
    assert phases == ["generate"]


def test_two_attempts_of_one_task_end_in_two_images_each_with_its_own_seed(loaded):
    alone = []
    for seed in (5, 6):
        loaded.thread.submit(replace(TASK, seed=seed))
        alone.append(loaded.until(Image)[-1].payload)

    loaded.thread.submit(TASK)
    loaded.thread.submit(replace(TASK, attempt=2, seed=6))
    first, second = loaded.until(Image), loaded.until(Image)

    images = {image.attempt: (image.seed, image.payload) for image in (first[-1], second[-1])}
    assert images == {1: (5, alone[0]), 2: (6, alone[1])}
    progress = [message.tasks for message in first if isinstance(message, Progress)]
    assert all([task_id for task_id, _ in tasks] == ["task"] for tasks in progress)


def test_a_cancel_ends_every_attempt_that_came_before_it_and_none_that_comes_after(loaded):
    for attempt in (1, 2):
        loaded.thread.submit(replace(TASK, attempt=attempt))
    loaded.thread.submit(Cancel("task"))
    loaded.thread.submit(replace(TASK, attempt=3))
    messages = loaded.until(Image)
    failed = {message.attempt for message in messages if isinstance(message, Failed)}
    assert (failed, messages[-1].attempt) == ({1, 2}, 3)


def test_a_deadline_ends_its_own_attempt_alone(loaded):
    loaded.thread.submit(replace(TASK, deadline_in_ms=0))
    loaded.thread.submit(replace(TASK, attempt=2))
    failed, image = loaded.until(Failed)[-1], loaded.until(Image)[-1]
    assert (failed.attempt, failed.code, image.attempt) == (1, "deadline_exceeded", 2)


def panic():
    """What the tokenizer does when its expression gives up: no Exception, a panic of Rust."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Split(Regex("(?:a|a|aa)+(?=c)"), "isolated")
    tokenizer.encode("a" * 40 + "b")


def exhaust():
    raise MemoryError


def find_no_key():
    raise KeyError("word")


@pytest.mark.parametrize("fail", [panic, exhaust, find_no_key])
def test_whatever_fails_while_a_task_is_prepared_fails_that_task_alone(loaded, monkeypatch, fail):
    def prepare(command, model):
        if command.task_id == "bad":
            fail()
        return prepare_task(command, model)

    monkeypatch.setattr("sidecar.compute.prepare_task", prepare)
    loaded.thread.submit(replace(TASK, task_id="bad"))
    loaded.thread.submit(TASK)

    failed, image = loaded.until(Failed)[-1], loaded.until(Image)[-1]

    assert (failed.task_id, failed.attempt, failed.code) == ("bad", 1, "engine_error")
    assert not failed.fatal
    assert not failed.retryable
    assert image.task_id == "task"


class FullDevice:
    """Takes the place of `Engine.step`; fails with more than `limit` tasks, as XLA does."""

    def __init__(self, monkeypatch, limit, status="RESOURCE_EXHAUSTED"):
        self.sizes = []
        step = Engine.step

        def step_or_fail(engine):
            self.sizes.append(len(engine.running))
            if len(engine.running) > limit:
                raise jax.errors.JaxRuntimeError(f"{status}: Failed to allocate 17179869184 bytes.")
            return step(engine)

        monkeypatch.setattr(Engine, "step", step_or_fail)


def start_on(device_limit, monkeypatch, status="RESOURCE_EXHAUSTED"):
    sidecar = Sidecar(CONFIG)
    sidecar.until(Ready)
    device = FullDevice(monkeypatch, device_limit, status)
    for index in range(4):
        sidecar.thread.submit(replace(TASK, task_id=f"task {index}", seed=index))
    return sidecar, device


def test_a_full_device_halves_the_batch_and_the_same_images_are_made(loaded, monkeypatch):
    for index in range(4):
        loaded.thread.submit(replace(TASK, task_id=f"task {index}", seed=index))
    expected = {image.seed: image.payload for image in (loaded.until(Image)[-1] for _ in range(4))}
    sidecar, device = start_on(1, monkeypatch)

    images = [sidecar.until(Image)[-1] for _ in range(4)]

    assert {image.seed: image.payload for image in images} == expected
    assert max(device.sizes) == 2
    assert device.sizes[-1] == 1
    sidecar.thread.submit(Drain())
    sidecar.until(Bye)
    sidecar.thread.join()


@pytest.mark.parametrize("fail", [panic, exhaust, find_no_key])
def test_whatever_ends_the_thread_is_a_fatal_failure_and_never_silence(monkeypatch, fail):
    sidecar = Sidecar(CONFIG)
    sidecar.until(Ready)
    monkeypatch.setattr(Engine, "step", lambda _engine: fail())
    sidecar.thread.submit(TASK)

    failed = sidecar.until(Failed)[-1]

    assert (failed.task_id, failed.code) == (None, "engine_error")
    assert failed.fatal
    assert failed.retryable
    sidecar.thread.join()


@pytest.mark.parametrize(
    ("limit", "status", "code"),
    [(0, "RESOURCE_EXHAUSTED", "out_of_memory"), (0, "INTERNAL", "device_error")],
)
def test_a_device_that_cannot_go_on_ends_the_sidecar_for_a_restart(
    monkeypatch, limit, status, code
):
    sidecar, _ = start_on(limit, monkeypatch, status)

    failed = sidecar.until(Failed)[-1]

    assert (failed.task_id, failed.code, failed.retryable, failed.fatal) == (None, code, True, True)
    sidecar.thread.join()


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"checkpoint": "/nowhere"}, "checkpoint_not_found", "/nowhere/config.json"),
        ({"vqgan": "/nowhere"}, "checkpoint_not_found", "--vqgan"),
        ({"checkpoint": str(VQGAN_FOLDER)}, "config_unsupported", "model_type"),
        ({"vqgan": str(model_folder("mini-scan"))}, "config_unsupported", "ch is None"),
    ],
)
def test_a_checkpoint_that_cannot_be_served_is_a_permanent_failure(change, code, words, caplog):
    sidecar = Sidecar(replace(CONFIG, **change))
    failed = sidecar.until(Failed)[-1]
    assert (failed.task_id, failed.code, failed.fatal) == (None, code, True)
    assert not failed.retryable
    assert words in failed.message
    assert f"{code}: {failed.message}" in caplog.text
    assert "Traceback" not in caplog.text


def fill_with(number):
    return lambda leaf: np.full_like(leaf, number)


@pytest.mark.parametrize(
    ("source", "leaf", "edit", "words"),
    [
        ("checkpoint", "lm_head/kernel", fill_with(3e38), "logits of the first image"),
        ("checkpoint", "lm_head/kernel", fill_with(0), "logits of the first image"),
        ("vqgan", "decoder/conv_out/kernel", fill_with(3e38), "pixels of the first image"),
    ],
)
def test_a_model_that_computes_nonsense_from_finite_weights_is_never_ready(
    tmp_path, source, leaf, edit, words
):
    folder = tmp_path / source
    original = VQGAN_FOLDER if source == "vqgan" else model_folder("mini-scan")
    shutil.copytree(original, folder, copy_function=shutil.copyfile)
    edit_leaf(folder, leaf, edit)

    failed = Sidecar(replace(CONFIG, **{source: str(folder)})).until(Failed)[-1]

    assert (failed.task_id, failed.code, failed.retryable) == (None, "checkpoint_invalid", False)
    assert words in failed.message
    assert "finite" in failed.message
