"""What an error that ends the compute thread is called on the wire, and whether it is permanent."""

import jax

from sidecar.checkpoint.folder import CheckpointNotFoundError
from sidecar.checkpoint.memory_check import MemoryInsufficientError
from sidecar.checkpoint.weight_files import CheckpointError
from sidecar.hub.errors import HubError
from sidecar.model.json_values import ConfigError
from sidecar.text import TokenizerError


def classify(error: BaseException) -> tuple[str, bool]:
    """The code of FAILED, and whether another start may help; if not, it is permanent."""
    match error:
        case HubError():
            return error.code, error.retryable
        case MemoryInsufficientError():
            return "memory_insufficient", False
        case CheckpointNotFoundError():
            return "checkpoint_not_found", False
        case ConfigError():
            return "config_unsupported", False
        case CheckpointError() | TokenizerError():
            return "checkpoint_invalid", False
        case jax.errors.JaxRuntimeError():
            return ("out_of_memory" if is_out_of_memory(error) else "device_error"), True
        case _:
            return "engine_error", True


def describe(error: BaseException) -> str:
    """What the error says, on one line."""
    return " ".join((str(error) or repr(error)).split())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had too little memory, which a smaller batch may cure."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
