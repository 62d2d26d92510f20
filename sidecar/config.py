"""What a checkpoint's `config.json` says, validated once and frozen.

Field names are upstream's own keys (dalle-mini's `DalleBartConfig`, vqgan-jax's `VQGANConfig`), so that a
config file and this module can be read side by side. Knows no JAX and no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import TypeVar

T = TypeVar("T", int, str, bool)

# The published checkpoints agree on these; another value would need other arithmetic.
SUPPORTED_DALLEBART: Mapping[str, object] = {
    "activation_function": "gelu",
    "ln_positions": "normformer",
    "ln_type": "layernorm",
    "force_ln_scale": False,
    "scale_embedding": False,
    "sinkhorn_iters": 1,
    "tie_word_embeddings": False,
    "use_absolute_position_embeddings": True,
    "use_alibi": False,
    "use_bias": False,
    "use_cosine_attention": False,
    "use_deepnet_scaling": False,
    "use_final_ln_decoder": True,
    "use_final_ln_encoder": True,
    "use_glu": True,
    "use_head_scale": False,
    "use_swin_position_embeddings": False,
}

SUPPORTED_VQGAN: Mapping[str, object] = {
    "double_z": False,
    "give_pre_end": False,
    "in_channels": 3,
    "out_ch": 3,
    "resamp_with_conv": True,
}


class ConfigError(ValueError):
    """A `config.json` that this program cannot serve; the message names key, value and what is supported."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of one DalleBart checkpoint. Every other choice is the published one (`SUPPORTED_DALLEBART`)."""

    d_model: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    encoder_vocab_size: int
    max_text_length: int
    decoder_layers: int
    decoder_attention_heads: int
    decoder_ffn_dim: int
    image_vocab_size: int
    image_length: int
    decoder_start_token_id: int
    normalize_text: bool = True
    use_scan: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "ModelConfig":
        """Validate the parsed `config.json` of a DalleBart folder.

        Raises:
            ConfigError: another model family, a missing or mistyped key, or a variant that is not supported.
        """
        model_type = values.get("model_type")
        if model_type != "dallebart":
            raise ConfigError(
                f"model_type is {model_type!r}, expected 'dallebart': "
                "give the folder of a dalle-mini or dalle-mega checkpoint"
            )
        _refuse_unsupported(values, SUPPORTED_DALLEBART)
        config = cls(
            d_model=_positive(values, "d_model"),
            encoder_layers=_positive(values, "encoder_layers"),
            encoder_attention_heads=_positive(values, "encoder_attention_heads"),
            encoder_ffn_dim=_positive(values, "encoder_ffn_dim"),
            encoder_vocab_size=_positive(values, "encoder_vocab_size"),
            max_text_length=_positive(values, "max_text_length"),
            decoder_layers=_positive(values, "decoder_layers"),
            decoder_attention_heads=_positive(values, "decoder_attention_heads"),
            decoder_ffn_dim=_positive(values, "decoder_ffn_dim"),
            image_vocab_size=_positive(values, "image_vocab_size"),
            image_length=_positive(values, "image_length"),
            decoder_start_token_id=_positive(values, "decoder_start_token_id"),
            normalize_text=_typed(values, "normalize_text", bool, False),
            use_scan=_typed(values, "use_scan", bool, False),
        )
        config._check_sizes()
        return config

    @property
    def image_table_rows(self) -> int:
        """Rows of the image embedding and columns of `lm_head`: the vocabulary plus the start token."""
        return self.image_vocab_size + 1

    def _check_sizes(self) -> None:
        for side in ("encoder", "decoder"):
            heads: int = getattr(self, f"{side}_attention_heads")
            if self.d_model % heads:
                raise ConfigError(
                    f"d_model {self.d_model} is not a multiple of {side}_attention_heads {heads}"
                )
        if isqrt(self.image_length) ** 2 != self.image_length:
            raise ConfigError(
                f"image_length is {self.image_length}, expected a square number of image tokens"
            )
        if self.decoder_start_token_id >= self.image_table_rows:
            raise ConfigError(
                f"decoder_start_token_id {self.decoder_start_token_id} lies outside "
                f"the image table of {self.image_table_rows} rows"
            )


@dataclass(frozen=True)
class VQGANConfig:
    """Sizes of one VQGAN; `ch_mult` has one entry per resolution level, the finest first."""

    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    attn_resolutions: tuple[int, ...]
    resolution: int
    z_channels: int
    n_embed: int
    embed_dim: int

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "VQGANConfig":
        """Validate the parsed `config.json` of a VQGAN folder.

        Raises:
            ConfigError: a missing or mistyped key, or a variant that is not supported.
        """
        _refuse_unsupported(values, SUPPORTED_VQGAN)
        return cls(
            ch=_positive(values, "ch"),
            ch_mult=_integers(values, "ch_mult"),
            num_res_blocks=_positive(values, "num_res_blocks"),
            attn_resolutions=_integers(values, "attn_resolutions"),
            resolution=_positive(values, "resolution"),
            z_channels=_positive(values, "z_channels"),
            n_embed=_positive(values, "n_embed"),
            embed_dim=_positive(values, "embed_dim"),
        )

    @property
    def downsampling(self) -> int:
        """Pixels per image token along one side (16 for the published VQGAN)."""
        return 2 ** (len(self.ch_mult) - 1)


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn: guidance strength, then temperature, top-k (0: off) and top-p (1: off)."""

    cond_scale: float
    temperature: float
    top_k: int
    top_p: float

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "SamplingSettings":
        """Validate a checkpoint's `sampling.json` (keys condScale, temperature, topK, topP).

        Raises:
            ConfigError: a missing or mistyped key, or a value outside `SAMPLING_LIMITS`.
        """
        settings = cls(
            cond_scale=_number(values, "condScale"),
            temperature=_number(values, "temperature"),
            top_k=_typed(values, "topK", int),
            top_p=_number(values, "topP"),
        )
        for name, (low, high) in SAMPLING_LIMITS.items():
            if not low <= getattr(settings, name) <= high:
                raise ConfigError(f"{name} is {getattr(settings, name)}, expected {low} to {high}")
        return settings


# Upstream's own bounds where it has some; the upper ends only keep float32 arithmetic finite.
SAMPLING_LIMITS: Mapping[str, tuple[float, float]] = {
    "cond_scale": (0.0, 100.0),
    "temperature": (0.01, 100.0),
    "top_k": (0, 2**31 - 1),
    "top_p": (0.0, 1.0),
}


def _refuse_unsupported(values: Mapping[str, object], supported: Mapping[str, object]) -> None:
    for key, expected in supported.items():
        value = values.get(key, expected)
        if value != expected:
            raise ConfigError(f"{key} is {value!r}, supported is {expected!r}")


def _typed(values: Mapping[str, object], key: str, kind: type[T], default: T | None = None) -> T:
    value = values.get(key, default)
    # bool is an int in Python; `"d_model": true` is a mistake all the same.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{key} is {value!r}, expected {kind.__name__}")
    return value


def _positive(values: Mapping[str, object], key: str) -> int:
    value = _typed(values, key, int)
    if value < 1:
        raise ConfigError(f"{key} is {value}, expected a positive integer")
    return value


def _number(values: Mapping[str, object], key: str) -> float:
    value = values.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{key} is {value!r}, expected a number")
    return float(value)


def _integers(values: Mapping[str, object], key: str) -> tuple[int, ...]:
    value = values.get(key)
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{key} is {value!r}, expected a list of positive integers")
    return tuple(_positive({key: item}, key) for item in value)
