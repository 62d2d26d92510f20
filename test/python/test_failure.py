"""Which errors end a sidecar for good, and which are worth another start."""

import jax
import pytest

from sidecar.checkpoint.folder import CheckpointNotFoundError
from sidecar.checkpoint.memory_check import MemoryInsufficientError
from sidecar.checkpoint.weight_files import CheckpointError
from sidecar.failure import classify
from sidecar.hub.errors import HubError
from sidecar.model.json_values import ConfigError
from sidecar.text import TokenizerError

PERMANENT = {
    "checkpoint_not_found": [CheckpointNotFoundError("x"), HubError("checkpoint_not_found", "x")],
    "checkpoint_invalid": [
        CheckpointError("x"),
        TokenizerError("x"),
        HubError("checkpoint_invalid", "x"),
    ],
    "config_unsupported": [ConfigError("x")],
    "hub_refused": [HubError("hub_refused", "x")],
    "cache_unwritable": [HubError("cache_unwritable", "x")],
    "memory_insufficient": [MemoryInsufficientError("x")],
}
RETRYABLE = {
    "hub_unreachable": [HubError("hub_unreachable", "x")],
    "out_of_memory": [jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Failed to allocate")],
    "device_error": [jax.errors.JaxRuntimeError("INTERNAL: lost")],
    "engine_error": [RuntimeError("x"), KeyError("x"), OSError("x")],
}


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [(error, code, False) for code, errors in PERMANENT.items() for error in errors]
    + [(error, code, True) for code, errors in RETRYABLE.items() for error in errors],
)
def test_an_error_is_permanent_exactly_when_another_start_would_end_the_same_way(
    error, code, retryable
):
    assert classify(error) == (code, retryable)
