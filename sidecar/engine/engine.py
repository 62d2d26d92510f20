"""Who occupies which slot, and what to run next: the host side of generation.

Knows ids and arrays, not prompts, sockets or threads. The slots are held in tiles of one size, and
one program advances a tile: whatever runs beside a task, its arithmetic is that of the same
instructions on the same shapes, and so its image is the same to the last bit.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from sidecar.checkpoint.memory_check import PROMPTS_BYTES
from sidecar.checkpoint.weights import Weights
from sidecar.engine.prompts import Ids, PromptCache
from sidecar.engine.slots import (
    Prompt,
    SlotBatch,
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

# Few slots make a single image cheap, many a full batch; see docs/performance.md.
CPU_TILE_SLOTS = 4

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
        self._defaults = sampling
        self._chunk_tokens = chunk_tokens
        self._most_slots = slots

        model = DalleBart(config, weights.dtype)
        compute = partial(jax.jit(partial(prefill, model)), weights.params)
        self._prompts = PromptCache(compute, PROMPTS_BYTES)
        self._unconditional = compute(*unconditional)
        self._fill_slot = jax.jit(fill_slot, donate_argnums=0)
        self._empty_slot = jax.jit(empty_slot, donate_argnums=0)
        self._draw_image = jax.jit(partial(draw_image, VQGANDecoder(vqgan_config)))
        advance = partial(decode_chunk, model, vqgan_config.n_embed, chunk_tokens)
        self._decode_chunk = jax.jit(advance, donate_argnums=1)
        self._create_batch = jax.jit(partial(empty_batch, config), static_argnums=0)
        self.resize(slots)

    @property
    def slots(self) -> int:
        """How many tasks it takes, those that run included."""
        return len(self._tasks)

    def resize(self, slots: int) -> None:
        """Hold that many free slots from now on; every running task loses its own.

        Fewer slots than a tile are a tile of their own: call `compile` before the next `admit`.
        """
        # Freed first: the new tiles may not fit beside the old ones. Should they not fit at all,
        # there is no slot until the next call.
        self._tiles: list[SlotBatch] = []
        self._tasks: list[TaskKey | None] = []
        self._drawn: list[int] = []
        self._tile_slots = min(slots, tile_slots(self._most_slots))
        while self.slots < slots:
            self._add_tile(slots)

    def fewer_slots(self, slots: int) -> int:
        """The next smaller number of slots that holds less memory: a tile less, or half a tile."""
        tile = tile_slots(self._most_slots)
        return slots // 2 if slots <= tile else (slots - 1) // tile * tile

    def grow(self) -> bool:
        """Hold a tile more, or a wider one; false when there is no more or tasks are in the way.

        The same as `resize` when it widens the tile.
        """
        tile = tile_slots(self._most_slots)
        if self.slots == self._most_slots:
            return False
        if self._tile_slots == tile:
            self._add_tile(self._most_slots)
            return True
        if self.running:
            return False
        self.resize(min(2 * self._tile_slots, tile))
        return True

    def forget_prompts(self) -> bool:
        """Give back the memory of the remembered prompts; whether there were any."""
        return self._prompts.clear()

    @property
    def free_slots(self) -> int:
        """How many tasks `admit` would take now."""
        return self._tasks.count(None)

    @property
    def running(self) -> list[TaskKey]:
        """The tasks that occupy a slot."""
        return [task for task in self._tasks if task is not None]

    def compile(self, report: Callable[[int, int], None]) -> None:
        """Compile, or read from JAX's cache, all programs, by running them once.

        Args:
            report: called with how many programs are done and how many there are.
        """
        asks_nothing = self._sampling_of(SamplingSettings())
        report(0, 2)
        self._fill(0, self._unconditional, 0, asks_nothing)
        jax.block_until_ready(self._image_of(0))
        report(1, 2)
        self._advance(0)
        self._free(0)
        jax.block_until_ready(self._tiles)
        report(2, 2)

    def admit(self, request: SlotRequest) -> None:
        """Put a task into the lowest free slot; there must be one."""
        slot = self._tasks.index(None)
        prompt = self._prompts.get(request.ids, request.mask)
        self._fill(slot, prompt, request.seed, self._sampling_of(request.sampling))
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
        for tile in sorted({slot // self._tile_slots for slot in busy}):
            self._advance(tile)
        finished: list[SlotImage] = []
        for slot in busy:
            task = self._tasks[slot]
            self._drawn[slot] = min(self._drawn[slot] + self._chunk_tokens, self.image_length)
            if task is not None and self._drawn[slot] == self.image_length:
                finished.append(self._finish(task, slot))
                self._free(slot)
        jax.block_until_ready(self._tiles)
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

    def _add_tile(self, most_slots: int) -> None:
        tile = self._create_batch(self._tile_slots, self._unconditional)
        self._tiles.append(jax.block_until_ready(tile))
        more = min(self._tile_slots, most_slots - self.slots)
        self._tasks += [None] * more
        self._drawn += [0] * more

    def _advance(self, tile: int) -> None:
        self._tiles[tile] = self._decode_chunk(self._weights.params, self._tiles[tile])

    def _fill(self, slot: int, prompt: Prompt, seed: int, sampling: SlotSampling) -> None:
        tile, place = divmod(slot, self._tile_slots)
        self._tiles[tile] = self._fill_slot(
            self._tiles[tile], np.int32(place), prompt, np.uint32(seed), sampling
        )

    def _finish(self, task: TaskKey, slot: int) -> SlotImage:
        pixels, sound = map(np.asarray, self._image_of(slot))
        parts = zip(("logits", "pixels"), sound, strict=True)
        return SlotImage(task, pixels, tuple(part for part, is_sound in parts if not is_sound))

    def _free(self, slot: int) -> None:
        tile, place = divmod(slot, self._tile_slots)
        self._tasks[slot] = None
        self._tiles[tile] = self._empty_slot(self._tiles[tile], np.int32(place))

    def _image_of(self, slot: int) -> tuple[jax.Array, jax.Array]:
        tile, place = divmod(slot, self._tile_slots)
        batch = self._tiles[tile]
        return self._draw_image(
            self._weights.vqgan_params, batch.tokens, batch.sound, np.int32(place)
        )

    def _sampling_of(self, sampling: SamplingSettings) -> SlotSampling:
        """The settings of a task; the checkpoint's own where it leaves one open."""
        asked = {name: value for name, value in asdict(sampling).items() if value is not None}
        settings = replace(self._defaults, **asked)
        return SlotSampling(
            jnp.float32(settings.cond_scale),
            jnp.float32(settings.temperature),
            jnp.int32(settings.top_k),
            jnp.float32(settings.top_p),
        )


def tile_slots(slots: int) -> int:
    """Slots of a tile, of an engine with so many slots.

    A chunk costs the same however many slots of its tile are busy. An accelerator advances one wide
    tile in the time of a narrow one; a CPU does not.
    """
    return min(slots, CPU_TILE_SLOTS) if jax.default_backend() == "cpu" else slots
