"""What a checkpoint needs and what a machine has."""

from unittest.mock import Mock

import jax.numpy as jnp
import pytest
from support.goldens import VQGAN_FOLDER, model_folder

from bench.synthetic import CONFIGS
from sidecar.checkpoint.folder import open_checkpoint
from sidecar.checkpoint.memory_check import (
    MemoryInsufficientError,
    check_memory,
    count_bytes,
    count_parameters,
    read_free_bytes,
)
from sidecar.model.config import ModelConfig

MINI, MEGA = (ModelConfig.from_json(CONFIGS[name]) for name in ("Mini", "Mega"))
FLOAT32, BFLOAT16 = jnp.dtype("float32"), jnp.dtype("bfloat16")


def make_device(platform, stats=None):
    """A device of a platform that counts its memory, or does not."""
    return Mock(platform=platform, memory_stats=lambda: stats)


def make_root(folder, available_kb, limit=None):
    (folder / "proc").mkdir()
    (folder / "proc" / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:  {available_kb} kB\n")
    (folder / "sys/fs/cgroup").mkdir(parents=True)
    if limit is not None:
        (folder / "sys/fs/cgroup/memory.max").write_text(f"{limit}\n")
    return folder


@pytest.mark.parametrize(("config", "count"), [(MINI, 437_833_712), (MEGA, 2_587_521_024)])
def test_the_parameters_of_the_published_models_are_counted_exactly(config, count):
    assert count_parameters(config) == count


def test_need_covers_weights_caches_and_the_rest_in_the_chosen_precision():
    weights = 4 * 437_833_712
    assert weights + 1e9 < count_bytes(MINI, FLOAT32, 8) < weights + 1.2e9
    assert count_bytes(MEGA, BFLOAT16, 8) < 0.55 * count_bytes(MEGA, FLOAT32, 8)


def test_what_does_not_fit_is_refused_with_need_have_and_what_to_do():
    device = make_device("gpu", {"bytes_limit": 9_000_000_000, "bytes_in_use": 1_000_000_000})
    with pytest.raises(MemoryInsufficientError) as refusal:
        check_memory(MEGA, FLOAT32, slots=8, device=device)
    words = str(refusal.value)
    assert "needs 13 GB of memory in float32 with 8 slots, but 8 GB are free on gpu" in words
    assert "--precision bfloat16" in words
    check_memory(MEGA, BFLOAT16, slots=8, device=device)


def test_a_cpu_needs_as_much_in_sixteen_bits_as_in_thirty_two(monkeypatch):
    monkeypatch.setattr(
        "sidecar.checkpoint.memory_check.read_free_bytes", lambda device: 8_000_000_000
    )
    with pytest.raises(MemoryInsufficientError) as refusal:
        check_memory(MEGA, BFLOAT16, slots=8, device=make_device("cpu"))
    words = str(refusal.value)
    assert "needs 13 GB of memory in bfloat16 with 8 slots, but 8 GB are free on cpu" in words
    assert "--precision" not in words


def test_a_device_that_does_not_count_refuses_nothing():
    check_memory(MEGA, FLOAT32, slots=8, device=make_device("gpu"))


@pytest.mark.parametrize(
    ("limit", "free"), [(None, 2_048_000), ("max", 2_048_000), (1_000_000, 1_000_000)]
)
def test_the_memory_of_a_host_is_what_is_available_within_its_container(tmp_path, limit, free):
    root = make_root(tmp_path, 2_000, limit)
    assert read_free_bytes(make_device("cpu"), root) == free


def test_a_system_that_does_not_say_is_unknown(tmp_path):
    assert read_free_bytes(make_device("cpu"), tmp_path) is None


def test_a_tiny_checkpoint_fits_here():
    found = open_checkpoint(model_folder("mini-scan"), VQGAN_FOLDER)
    check_memory(found.config, FLOAT32, slots=2, device=make_device("cpu"))
