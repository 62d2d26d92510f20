"""Reads a checkpoint as a start does, and checks how it is refused."""

import jax.numpy as jnp
import pytest

from sidecar.checkpoint.folder import load_weights, open_checkpoint, open_text
from sidecar.failure import classify


def load(folder, dtype="float32"):
    """The weights of a checkpoint with its VQGAN."""
    return load_weights(open_checkpoint(folder), jnp.dtype(dtype))


def read_all(folder):
    """All that a start reads of a checkpoint, in its order."""
    found = open_checkpoint(folder)
    open_text(found)
    return load_weights(found, jnp.dtype("float32"))


def assert_refused(folder, *words, code="checkpoint_invalid", read=read_all):
    """A permanent failure in one line of readable length, which has the words."""
    with pytest.raises(Exception) as refused:  # noqa: PT011  classify says which one it is
        read(folder)
    reason = str(refused.value)
    assert classify(refused.value) == (code, False), reason
    assert "\n" not in reason
    assert len(reason) < 1000
    for word in (str(folder), *words):
        assert word in reason
