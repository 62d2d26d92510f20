"""The task, one image of a job, from its GENERATE message to its end in this process."""

import time
from dataclasses import dataclass

from sidecar.checkpoint.sampling_defaults import find_misfit
from sidecar.engine.engine import SlotRequest, TaskKey
from sidecar.loading import Checkpoint
from sidecar.wire.messages import Generate


class InvalidTaskError(ValueError):
    """A task that no retry can help; `code` is a FAILED code of the protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Task:
    """What the server asked for once, and what the engine needs for it.

    Times are of `time.monotonic`; `started` is 0 until the task has a slot.
    """

    request: SlotRequest
    deadline: float
    started: float = 0.0

    @property
    def key(self) -> TaskKey:
        """Task id and attempt."""
        return self.request.key

    @property
    def text_tokens(self) -> int:
        """Live tokens of the prompt."""
        return int(self.request.mask.sum())


def prepare_task(message: Generate, checkpoint: Checkpoint) -> Task:
    """Check the settings and tokenise the prompt.

    Raises:
        InvalidTaskError: a sampling setting is outside its limits.
    """
    misfit = find_misfit(message.sampling)
    if misfit is not None:
        raise InvalidTaskError("setting_invalid", misfit)
    request = checkpoint.create_request(
        message.task_id, message.prompt, message.seed, message.sampling, message.attempt
    )
    deadline = time.monotonic() + message.deadline_in_ms / 1000
    return Task(request, deadline)
