"""The messages of the wire protocol and the records in them, each field with its check.

The twin of src/wire/messages.ts, in the same order. Here a message is a frozen dataclass; its
fields are snake_case, and camelCase on the wire.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from sidecar.wire import fields

MAX_IMAGE_SIDE = 4096
CHANNELS = 3

Text: TypeAlias = Annotated[str, fields.text]
Identifier: TypeAlias = Annotated[str, fields.identifier]
Count: TypeAlias = Annotated[int, fields.integer()]
Size: TypeAlias = Annotated[int, fields.integer(1)]
NumberRange: TypeAlias = Annotated[tuple[float, float], fields.range_of(fields.number)]
CountRange: TypeAlias = Annotated[tuple[int, int], fields.range_of(fields.integer())]
ImageSide: TypeAlias = Annotated[int, fields.integer(1, MAX_IMAGE_SIDE)]
Seed: TypeAlias = Annotated[int, fields.integer(0, 2**32 - 1)]

LoadPhase: TypeAlias = Literal["download", "load", "compile", "warm_up"]


@dataclass(frozen=True, slots=True)
class SidecarConfig:
    """All the settings of a sidecar; only those of the Hugging Face tools (HF_HOME, HF_ENDPOINT,
    HF_TOKEN, HF_HUB_OFFLINE, proxies) it reads from its environment.

    `checkpoint` and `vqgan` are folders or `hf:owner/name[@revision]`, which is fetched first
    (`vqgan` None: look in the checkpoint and beside it), `slots` the images decoded together,
    `chunk_tokens` the image tokens between two looks at the outside world, `cache_dir` JAX's
    persistent compile cache (None: none is kept), `beat_interval_ms` the time between two unasked
    beats.
    """

    checkpoint: Text
    vqgan: Annotated[str | None, fields.nullable(fields.text)]
    slots: Size
    chunk_tokens: Size
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], fields.one_of("auto", "float32", "bfloat16")
    ]
    cache_dir: Annotated[str | None, fields.nullable(fields.text)]
    beat_interval_ms: Size


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """What the sampler is asked for; None is the checkpoint's own value, `top_k` 0 is off."""

    cond_scale: Annotated[float | None, fields.nullable(fields.number)] = None
    temperature: Annotated[float | None, fields.nullable(fields.number)] = None
    top_k: Annotated[int | None, fields.nullable(fields.integer())] = None
    top_p: Annotated[float | None, fields.nullable(fields.number)] = None


@dataclass(frozen=True, slots=True)
class SamplingLimits:
    """The lowest and highest value of each sampling setting, both allowed."""

    cond_scale: NumberRange
    temperature: NumberRange
    top_k: CountRange
    top_p: NumberRange


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a task may ask of the sampler, and the checkpoint's own values."""

    defaults: Annotated[SamplingSettings, fields.record(SamplingSettings)]
    limits: Annotated[SamplingLimits, fields.record(SamplingLimits)]


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a sidecar: who it is. `token` proves that the server started it."""

    TYPE: ClassVar[str] = "HELLO"
    build: Text
    pid: Size
    generation: Size
    token: Text


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to HELLO: the whole configuration."""

    TYPE: ClassVar[str] = "WELCOME"
    config: Annotated[SidecarConfig, fields.record(SidecarConfig)]


@dataclass(frozen=True, slots=True)
class Phase:
    """Progress of getting ready: `done` of `total` in `unit`."""

    TYPE: ClassVar[str] = "PHASE"
    name: Annotated[LoadPhase, fields.one_of("download", "load", "compile", "warm_up")]
    done: Annotated[float, fields.amount]
    total: Annotated[float, fields.amount]
    unit: Text


@dataclass(frozen=True, slots=True)
class Ready:
    """The sidecar takes tasks from now on; what it can do."""

    TYPE: ClassVar[str] = "READY"
    slots: Size
    image_width: ImageSide
    image_height: ImageSide
    image_tokens: Size
    device: Text
    memory_bytes: Annotated[int | None, fields.nullable(fields.integer())]
    precision: Annotated[Literal["float32", "bfloat16"], fields.one_of("float32", "bfloat16")]
    checkpoint_hash: Annotated[str, fields.digest]
    phase_seconds: Annotated[dict[str, float], fields.amounts]
    sampling: Annotated[Sampling, fields.record(Sampling)]


@dataclass(frozen=True, slots=True)
class Generate:
    """Make one image; `preview_every` counts the tokens between two previews, 0 for none."""

    TYPE: ClassVar[str] = "GENERATE"
    task_id: Identifier
    attempt: Size
    prompt: Text
    seed: Seed
    sampling: Annotated[SamplingSettings, fields.record(SamplingSettings)]
    preview_every: Count
    deadline_in_ms: Count


@dataclass(frozen=True, slots=True)
class Accepted:
    """The task has arrived and will be answered by exactly one IMAGE or FAILED."""

    TYPE: ClassVar[str] = "ACCEPTED"
    task_id: Identifier
    attempt: Size


@dataclass(frozen=True, slots=True)
class Rejected:
    """The task was not taken; nothing else will be said about it."""

    TYPE: ClassVar[str] = "REJECTED"
    task_id: Identifier
    attempt: Size
    code: Identifier
    message: Text


@dataclass(frozen=True, slots=True)
class Progress:
    """Once a chunk: the image tokens made so far, for all running tasks."""

    TYPE: ClassVar[str] = "PROGRESS"
    tasks: Annotated[tuple[tuple[str, int], ...], fields.token_counts]


@dataclass(frozen=True, slots=True)
class Image:
    """A finished image: `payload` is RGB, u8, row by row; `text_tokens` counts the live ones."""

    TYPE: ClassVar[str] = "IMAGE"
    task_id: Identifier
    attempt: Size
    width: ImageSide
    height: ImageSide
    seed: Seed
    text_tokens: Count
    image_tokens: Count
    seconds: Annotated[float, fields.amount]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """A task failed, or (task_id None) the whole sidecar. `fatal`: the process is about to exit."""

    TYPE: ClassVar[str] = "FAILED"
    task_id: Annotated[str | None, fields.nullable(fields.identifier)]
    attempt: Annotated[int | None, fields.nullable(fields.integer(1))]
    code: Identifier
    message: Text
    retryable: Annotated[bool, fields.boolean]
    fatal: Annotated[bool, fields.boolean]


@dataclass(frozen=True, slots=True)
class Cancel:
    """The task is not wanted any more. May be sent twice, and for a task that has ended."""

    TYPE: ClassVar[str] = "CANCEL"
    task_id: Identifier


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a BEAT with the same sequence."""

    TYPE: ClassVar[str] = "PING"
    sequence: Count


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life: of the I/O thread by itself, of the compute thread by its last step's age."""

    TYPE: ClassVar[str] = "BEAT"
    sequence: Count
    phase: Annotated[
        str,
        fields.one_of(
            "starting", "download", "load", "compile", "warm_up", "idle", "generate", "drain"
        ),
    ]
    step_age_ms: Count
    rss_bytes: Count


@dataclass(frozen=True, slots=True)
class Drain:
    """Finish what runs, take nothing new, say BYE and exit."""

    TYPE: ClassVar[str] = "DRAIN"


@dataclass(frozen=True, slots=True)
class Bye:
    """Last message of a sidecar that ends on purpose."""

    TYPE: ClassVar[str] = "BYE"
    reason: Text


# From the sidecar to the server.
UpMessage: TypeAlias = (
    Hello | Phase | Ready | Accepted | Rejected | Progress | Image | Failed | Beat | Bye
)
# From the server to the sidecar.
DownMessage: TypeAlias = Welcome | Generate | Cancel | Ping | Drain
Message: TypeAlias = UpMessage | DownMessage
