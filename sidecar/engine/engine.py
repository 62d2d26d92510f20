"""Who occupies which slot, and what to run next: the host side of generation.

Knows ids and arrays, not prompts, sockets or threads. Programs exist for a few batch sizes (powers
of two), and a chunk runs the smallest that holds all busy slots.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Wrapped
from jaxtyping import Int32, UInt8

from sidecar.checkpoint.weights import Weights
from sidecar.engine.slots import (
    Prompt,
    decode_chunk,
    draw_image,
    empty_batch,
    empty_slot,
    fill_slot,
    prefill,
)
from sidecar.model.config import ModelConfig, VQGANConfig
from sidecar.model.dallebart import DalleBart
from sidecar.model.sampling import SlotSampling
from sidecar.model.vqgan_decoder import VQGANDecoder
from sidecar.wire.messages import SamplingSettings

# The images of one job arrive one after the other: its prompt is read once.
REMEMBERED_PROMPTS = 32

Ids = Int32[np.ndarray, "T"]
# A task may be tried again before its first attempt has ended: both parts say which is meant.
TaskKey: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class SlotRequest:
    """One image to make: the tokenised prompt, and `seed`, an unsigned 32-bit number."""

    task_id: str
    ids: Ids
    mask: Ids
    seed: int
    sampling: SamplingSettings
    attempt: int = 1

    @property
    def key(self) -> TaskKey:
        """What the engine knows the task by."""
        return self.task_id, self.attempt


@dataclass(frozen=True)
class SlotImage:
    """A finished task and its pixels.

    `unsound` names what of "logits" and "pixels" was not finite or all alike, before the pixels
    were rounded: whatever they show then, it is not what the prompt asked for.
    """

    key: TaskKey
    pixels: UInt8[np.ndarray, "I J 3"]
    unsound: tuple[str, ...]

    @property
    def task_id(self) -> str:
        """The id of its request."""
        return self.key[0]


class Engine:
    """A batch of slots over one checkpoint on one device. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        config: ModelConfig,
        vqgan_config: VQGANConfig,
        weights: Weights,
        unconditional: tuple[Ids, Ids],
        *,
        sampling: SamplingSettings,
        slots: int,
        chunk_tokens: int,
    ) -> None:
        """
        Args:
            unconditional: ids and mask of the unconditional row (the tokenizer on the empty text).
            sampling: the checkpoint's own values, none of them None.
            slots: tasks decoded at once, at most.
            chunk_tokens: image tokens drawn in one `step`.
        """
        self.image_length = config.image_length
        self._weights = weights
        self._unconditional = unconditional
        self._defaults = sampling
        self._chunk_tokens = chunk_tokens
        self._prompts: OrderedDict[bytes, Prompt] = OrderedDict()

        model = DalleBart(config, weights.dtype)
        self._prefill = jax.jit(partial(prefill, model))
        self._fill_slot = jax.jit(fill_slot, donate_argnums=0)
        self._empty_slot = jax.jit(empty_slot, donate_argnums=0)
        self._draw_image = jax.jit(partial(draw_image, VQGANDecoder(vqgan_config)))
        self._create_chunk = partial(decode_chunk, model, vqgan_config.n_embed)
        self._create_batch = partial(empty_batch, config)
        self._allocate(slots)

    def _allocate(self, slots: int) -> None:
        """Set up that many free slots, and the programs that advance them, not compiled yet."""
        self._tasks: list[TaskKey | None] = [None] * slots
        self._drawn: list[int] = [0] * slots
        self._decode_chunk = {
            size: jax.jit(partial(self._create_chunk, size, self._chunk_tokens), donate_argnums=1)
            for size in _batch_sizes(slots)
        }
        self._compiling: dict[int, Future[None]] = {}
        empty = self._prefill(self._weights.params, *self._unconditional)
        self._batch = jax.jit(partial(self._create_batch, slots))(empty)

    def shrink(self) -> bool:
        """Halve the batch, after the device ran out of memory; false when one slot is left.

        Every running task loses its slot, and nothing is compiled: call `compile` before the next
        `admit`.
        """
        slots = len(self._tasks) // 2
        if slots == 0:
            return False
        # Freed first: the new batch may not fit beside the old one.
        del self._batch
        self._prompts.clear()
        self._allocate(slots)
        return True

    @property
    def free_slots(self) -> int:
        """How many tasks `admit` would take now."""
        return self._tasks.count(None)

    @property
    def running(self) -> list[TaskKey]:
        """The tasks that occupy a slot."""
        return [task for task in self._tasks if task is not None]

    def compile(self, report: Callable[[int, int], None]) -> None:
        """Compile, or read from JAX's cache, what serving cannot do without, by running it once.

        The sizes between the smallest and the largest can wait: see `compile_between`.

        Args:
            report: called with how many programs are done and how many there are.
        """
        request = SlotRequest("compile", *self._unconditional, seed=0, sampling=SamplingSettings())
        sizes = sorted({min(self._decode_chunk), max(self._decode_chunk)})
        total = len(sizes) + 1
        report(0, total)
        self.admit(request)
        jax.block_until_ready(self._image_of(0))
        report(1, total)
        for done, size in enumerate(sizes, start=2):
            self._batch = self._decode_chunk[size](self._weights.params, self._batch)
            jax.block_until_ready(self._batch.positions)
            report(done, total)
        self.cancel(request.key)

    def compile_between(self) -> None:
        """Begin to compile the sizes that `compile` left out, in the background.

        Until a size is there, the next larger program that is does its work, slower, with the same
        result.
        """
        arguments = self._weights.params, self._batch
        # Not the arrays: the next call takes the batch away.
        shapes = jax.tree.map(lambda part: jax.ShapeDtypeStruct(part.shape, part.dtype), arguments)
        pool = ThreadPoolExecutor(1, "compile")
        for size in sorted(self._decode_chunk)[1:-1]:
            self._compiling[size] = pool.submit(_compile, self._decode_chunk[size], shapes)
        pool.shutdown(wait=False)

    def admit(self, request: SlotRequest) -> None:
        """Put a task into the lowest free slot; there must be one."""
        slot = self._tasks.index(None)
        self._batch = self._fill_slot(
            self._batch,
            np.int32(slot),
            self._prompt_of(request),
            np.uint32(request.seed),
            self._sampling_of(request),
        )
        self._tasks[slot] = request.key
        self._drawn[slot] = 0

    def cancel(self, task: TaskKey) -> bool:
        """Free the slot of a task; false when it has none (any more)."""
        if task not in self._tasks:
            return False
        self._free(self._tasks.index(task))
        return True

    def step(self) -> list[SlotImage]:
        """Draw the next chunk of tokens for every running task.

        Returns:
            The images that are complete with it; their slots are free again.
        """
        busy = [slot for slot, task in enumerate(self._tasks) if task is not None]
        self._batch = self._program_for(busy[-1] + 1)(self._weights.params, self._batch)
        finished: list[SlotImage] = []
        for slot in busy:
            task = self._tasks[slot]
            self._drawn[slot] = min(self._drawn[slot] + self._chunk_tokens, self.image_length)
            if task is not None and self._drawn[slot] == self.image_length:
                finished.append(self._finish(task, slot))
                self._free(slot)
        jax.block_until_ready(self._batch.positions)
        return finished

    def draw_all(
        self, requests: Iterable[SlotRequest], before_chunk: Callable[[], None] = lambda: None
    ) -> Generator[SlotImage]:
        """Draw requests, and what has a slot already, as many at once as there are slots.

        Args:
            before_chunk: called before each chunk; `progress` says then how far everything is.

        Yields:
            Each image when it is complete.
        """
        waiting = deque(requests)
        while waiting or self.running:
            while waiting and self.free_slots:
                self.admit(waiting.popleft())
            before_chunk()
            yield from self.step()

    def progress(self) -> list[tuple[str, int]]:
        """Task id and tokens drawn so far, of every running task; of its last attempt, if two
        run."""
        pairs = zip(self._tasks, self._drawn, strict=True)
        running = sorted((task, drawn) for task, drawn in pairs if task is not None)
        return list({task_id: drawn for (task_id, _), drawn in running}.items())

    def _program_for(self, slots: int) -> Wrapped:
        """The smallest program for that many slots that is not being compiled.

        One whose compilation failed compiles again when it is called, and raises here and not in
        the background.
        """
        busy = {size for size, work in self._compiling.items() if not work.done()}
        size = min(size for size in self._decode_chunk if size >= slots and size not in busy)
        return self._decode_chunk[size]

    def _finish(self, task: TaskKey, slot: int) -> SlotImage:
        pixels, sound = map(np.asarray, self._image_of(slot))
        parts = zip(("logits", "pixels"), sound, strict=True)
        return SlotImage(task, pixels, tuple(part for part, is_sound in parts if not is_sound))

    def _free(self, slot: int) -> None:
        self._tasks[slot] = None
        self._batch = self._empty_slot(self._batch, np.int32(slot))

    def _image_of(self, slot: int) -> tuple[jax.Array, jax.Array]:
        batch = self._batch
        return self._draw_image(
            self._weights.vqgan_params, batch.tokens, batch.sound, np.int32(slot)
        )

    def _prompt_of(self, request: SlotRequest) -> Prompt:
        key = request.ids.tobytes() + request.mask.tobytes()
        prompt = self._prompts.pop(key, None)
        if prompt is None:
            prompt = self._prefill(self._weights.params, request.ids, request.mask)
        self._prompts[key] = prompt
        if len(self._prompts) > REMEMBERED_PROMPTS:
            self._prompts.popitem(last=False)
        return prompt

    def _sampling_of(self, request: SlotRequest) -> SlotSampling:
        """The settings of a task; the checkpoint's own where it leaves one open."""
        asked = {
            name: value for name, value in asdict(request.sampling).items() if value is not None
        }
        settings = replace(self._defaults, **asked)
        return SlotSampling(
            jnp.float32(settings.cond_scale),
            jnp.float32(settings.temperature),
            jnp.int32(settings.top_k),
            jnp.float32(settings.top_p),
        )


def _batch_sizes(slots: int) -> list[int]:
    """Powers of two below `slots`, and `slots` itself: 1, 2, 4, 6 for 6."""
    powers = [2**power for power in range(slots.bit_length()) if 2**power < slots]
    return [*powers, slots]


def _compile(program: Wrapped, shapes: tuple[object, ...]) -> None:
    """What a call with arguments of these shapes would do first; it then finds it done."""
    program.lower(*shapes).compile()
