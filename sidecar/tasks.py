"""A GENERATE message made ready for the engine: settings checked and filled in, prompt tokenised."""

import time
from dataclasses import dataclass
from typing import TypeVar

from sidecar.engine.engine import SlotRequest
from sidecar.loading import LoadedModel
from sidecar.model.config import SAMPLING_LIMITS, SamplingSettings
from sidecar.wire.messages import Generate

Number = TypeVar("Number", int, float)


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
    text = model.text.encode(message.prompt)
    return Task(
        engine_task=SlotRequest(
            message.task_id, text.ids, text.mask, message.seed, _settings(message, model.sampling)
        ),
        attempt=message.attempt,
        text_tokens=text.live_count,
        deadline=time.monotonic() + message.deadline_in_ms / 1000,
    )


def _settings(message: Generate, defaults: SamplingSettings) -> SamplingSettings:
    """The message's settings, the checkpoint's where the message leaves one open."""

    def choose(name: str, asked: Number | None, default: Number) -> Number:
        value = default if asked is None else asked
        low, high = SAMPLING_LIMITS[name]
        if not low <= value <= high:
            raise InvalidTaskError(
                "setting_invalid", f"{name} is {value}, expected {low} to {high}"
            )
        return value

    return SamplingSettings(
        cond_scale=choose("cond_scale", message.cond_scale, defaults.cond_scale),
        temperature=choose("temperature", message.temperature, defaults.temperature),
        top_k=choose("top_k", message.top_k, defaults.top_k),
        top_p=choose("top_p", message.top_p, defaults.top_p),
    )
