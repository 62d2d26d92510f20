"""A GENERATE message made ready for the engine: settings checked, prompt tokenised."""

import time
from dataclasses import dataclass

from sidecar.checkpoint.sampling_defaults import find_misfit
from sidecar.engine.engine import SlotRequest
from sidecar.loading import LoadedModel
from sidecar.wire.messages import Generate


class InvalidTaskError(ValueError):
    """A task that no retry can help; `code` is a FAILED code of the protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Task:
    """A task inside the sidecar. Times are of `time.monotonic`; `started` is 0 until it has a slot."""

    engine_task: SlotRequest
    attempt: int
    text_tokens: int
    deadline: float
    started: float = 0.0

    @property
    def task_id(self) -> str:
        """The id that the server gave it."""
        return self.engine_task.task_id


def prepare_task(message: Generate, model: LoadedModel) -> Task:
    """Check and tokenise.

    Raises:
        InvalidTaskError: a sampling setting lies outside its limits.
    """
    misfit = find_misfit(message.sampling)
    if misfit is not None:
        raise InvalidTaskError("setting_invalid", misfit)
    text = model.text.encode(message.prompt)
    return Task(
        engine_task=SlotRequest(
            message.task_id, text.ids, text.mask, message.seed, message.sampling
        ),
        attempt=message.attempt,
        text_tokens=text.live_count,
        deadline=time.monotonic() + message.deadline_in_ms / 1000,
    )
