"""What a checkpoint's `config.json` says, validated once and frozen.

Field names are upstream's own keys (dalle-mini's `DalleBartConfig`, vqgan-jax's `VQGANConfig`), so
that a config file and this module can be read side by side. Knows no JAX and no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Literal

from sidecar.model.json_values import (
    ConfigError,
    read_choice,
    read_number,
    read_positive,
    read_positives,
    read_typed,
)

Side = Literal["encoder", "decoder"]

NORM_GROUPS = 32
MOST_LAYERS = 256
MOST_IMAGE_TOKENS = 128 * 128

_OFF = (False,)
_ON = (True,)
_OFF_OR_ON = (False, True)
_ON_OR_OFF = (True, False)


@dataclass(frozen=True)
class Variant:
    """Which of upstream's architectures a checkpoint has; the defaults: the published ones'.

    The names, and what each does to the numbers, are upstream's. `sidecar/model/variants.py` turns
    them into modules.
    """

    activation_function: str = "gelu"
    ln_positions: str = "normformer"
    ln_type: str = "layernorm"
    force_ln_scale: bool = False
    scale_embedding: bool = False
    sinkhorn_iters: int = 1
    tau_init: float = 0.05
    use_absolute_position_embeddings: bool = True
    use_bias: bool = False
    use_cosine_attention: bool = False
    use_deepnet_scaling: bool = False
    use_final_ln_encoder: bool = True
    use_glu: bool = True
    use_head_scale: bool = False

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "Variant":
        """Validate the architecture keys of a DalleBart `config.json`.

        Raises:
            ConfigError: a value that upstream's own code cannot run, or cannot generate with.
        """
        cannot_run = " (upstream's code cannot run another value)"
        read_choice(values, "tie_word_embeddings", _OFF, cannot_run)
        read_choice(values, "use_alibi", _OFF, cannot_run)
        read_choice(values, "use_final_ln_decoder", _ON, cannot_run)
        cannot_generate = " (upstream's code cannot generate with another value)"
        read_choice(values, "use_swin_position_embeddings", _OFF, cannot_generate)
        ln_positions = ("normformer", "preln", "cogview", "subln", "swinv2")
        return cls(
            activation_function=read_choice(
                values, "activation_function", ("gelu", "gelu_new", "relu", "smelu")
            ),
            ln_positions=read_choice(values, "ln_positions", ln_positions, cannot_run),
            ln_type=read_choice(values, "ln_type", ("layernorm", "rmsnorm")),
            force_ln_scale=read_choice(values, "force_ln_scale", _OFF_OR_ON),
            scale_embedding=read_choice(values, "scale_embedding", _OFF_OR_ON),
            sinkhorn_iters=read_positive(values, "sinkhorn_iters", largest=64, default=1),
            tau_init=_read_tau(values),
            use_absolute_position_embeddings=read_choice(
                values, "use_absolute_position_embeddings", _ON_OR_OFF
            ),
            use_bias=read_choice(values, "use_bias", _OFF_OR_ON),
            use_cosine_attention=read_choice(values, "use_cosine_attention", _OFF_OR_ON),
            use_deepnet_scaling=read_choice(values, "use_deepnet_scaling", _OFF_OR_ON),
            use_final_ln_encoder=read_choice(values, "use_final_ln_encoder", _ON_OR_OFF),
            use_glu=read_choice(values, "use_glu", _ON_OR_OFF),
            use_head_scale=read_choice(values, "use_head_scale", _OFF_OR_ON),
        )


PUBLISHED = Variant()


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and variant of one DalleBart checkpoint."""

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
    variant: Variant = PUBLISHED

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "ModelConfig":
        """Validate the parsed `config.json` of a DalleBart folder.

        Raises:
            ConfigError: another model family, a missing or mistyped key, or a variant that is not
                supported.
        """
        _refuse_other_families(values)
        config = cls(
            d_model=read_positive(values, "d_model"),
            encoder_layers=read_positive(values, "encoder_layers", MOST_LAYERS),
            encoder_attention_heads=read_positive(values, "encoder_attention_heads"),
            encoder_ffn_dim=read_positive(values, "encoder_ffn_dim"),
            encoder_vocab_size=read_positive(values, "encoder_vocab_size"),
            max_text_length=read_positive(values, "max_text_length"),
            decoder_layers=read_positive(values, "decoder_layers", MOST_LAYERS),
            decoder_attention_heads=read_positive(values, "decoder_attention_heads"),
            decoder_ffn_dim=read_positive(values, "decoder_ffn_dim"),
            image_vocab_size=read_positive(values, "image_vocab_size"),
            image_length=read_positive(values, "image_length", MOST_IMAGE_TOKENS),
            decoder_start_token_id=read_positive(values, "decoder_start_token_id"),
            normalize_text=read_typed(values, "normalize_text", bool, False),
            variant=Variant.from_json(values),
        )
        config._check_sizes()
        return config

    @property
    def image_table_rows(self) -> int:
        """Rows of the image embedding, columns of `lm_head`: vocabulary plus the start token."""
        return self.image_vocab_size + 1

    def layers(self, side: Side) -> int:
        """Layers of one side."""
        return self.encoder_layers if side == "encoder" else self.decoder_layers

    def heads(self, side: Side) -> int:
        """Attention heads of each layer of one side."""
        return self.encoder_attention_heads if side == "encoder" else self.decoder_attention_heads

    def ffn_dim(self, side: Side) -> int:
        """Feed-forward width of each layer of one side."""
        return self.encoder_ffn_dim if side == "encoder" else self.decoder_ffn_dim

    def _check_sizes(self) -> None:
        sides: tuple[Side, ...] = ("encoder", "decoder")
        for side in sides:
            if self.d_model % self.heads(side):
                raise ConfigError(
                    f"d_model {self.d_model} is not a multiple of "
                    f"{side}_attention_heads {self.heads(side)}"
                )
        if isqrt(self.image_length) ** 2 != self.image_length:
            raise ConfigError(
                f"image_length is {self.image_length}, expected a square number of image tokens"
            )
        if self.decoder_start_token_id >= self.image_table_rows:
            raise ConfigError(
                f"decoder_start_token_id {self.decoder_start_token_id} is outside "
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
        for key in ("double_z", "give_pre_end"):
            read_choice(values, key, _OFF)
        for key in ("in_channels", "out_ch"):
            read_choice(values, key, (3,))
        read_choice(values, "resamp_with_conv", _ON)
        config = cls(
            ch=read_positive(values, "ch", largest=4096),
            ch_mult=read_positives(values, "ch_mult", largest=64, most=8),
            num_res_blocks=read_positive(values, "num_res_blocks", largest=32),
            attn_resolutions=read_positives(values, "attn_resolutions"),
            resolution=read_positive(values, "resolution", largest=8192),
            z_channels=read_positive(values, "z_channels", largest=65536),
            n_embed=read_positive(values, "n_embed"),
            embed_dim=read_positive(values, "embed_dim", largest=65536),
        )
        config._check_sizes()
        return config

    def _check_sizes(self) -> None:
        if not self.ch_mult:
            raise ConfigError("ch_mult is [], expected one number for each resolution")
        if self.ch % NORM_GROUPS:
            raise ConfigError(
                f"ch is {self.ch}, expected a multiple of the {NORM_GROUPS} groups of its norms"
            )
        if self.resolution % self.downsampling:
            raise ConfigError(
                f"resolution {self.resolution} cannot be halved {len(self.ch_mult) - 1} times, "
                "as ch_mult asks"
            )

    @property
    def downsampling(self) -> int:
        """Pixels per image token along one side (16 for the published VQGAN)."""
        return 2 ** (len(self.ch_mult) - 1)


def _read_tau(values: Mapping[str, object]) -> float:
    tau = read_number(values, "tau_init", default=0.05)
    if tau <= 0:
        raise ConfigError(f"tau_init is {tau}, expected a positive number")
    return tau


def _refuse_other_families(values: Mapping[str, object]) -> None:
    """Say what a config is that is not a DalleBart's, as far as it shows."""
    model_type = values.get("model_type")
    if model_type == "dallebart":
        return
    if "_diffusers_version" in values or "_class_name" in values:
        family = " (this belongs to Stable Diffusion)"
    elif model_type == "bart":
        family = " (this is the first DALL·E mini of flax-community, another architecture)"
    elif "ch_mult" in values:
        family = " (this is a VQGAN: give it with --vqgan)"
    else:
        family = ""
    raise ConfigError(
        f"model_type is {model_type!r}, expected 'dallebart'{family}: "
        "give the folder of a dalle-mini or dalle-mega checkpoint"
    )
