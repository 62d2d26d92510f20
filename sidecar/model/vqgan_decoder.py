"""The VQGAN's decoder half: image tokens to pixels (taming-transformers' `Decoder`, NHWC).

Parameter names are upstream's own, so its tree is used unchanged. Shapes: B images, N tokens, H and
W positions, C channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from sidecar.model.config import VQGANConfig


class GroupNorm(nn.GroupNorm):
    """32 groups and upstream's epsilon."""

    num_groups: int | None = 32
    epsilon: float = 1e-6


class ResnetBlock(nn.Module):
    """Twice norm, swish, 3x3 convolution; a 1x1 shortcut where the channel count changes."""

    channels: int

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
        hidden = nn.Conv(self.channels, (3, 3), name="conv1")(nn.swish(GroupNorm(name="norm1")(x)))
        hidden = nn.Conv(self.channels, (3, 3), name="conv2")(
            nn.swish(GroupNorm(name="norm2")(hidden))
        )
        if x.shape[-1] != self.channels:
            x = nn.Conv(self.channels, (1, 1), name="nin_shortcut")(x)
        return x + hidden


class SpatialAttention(nn.Module):
    """Single-head attention over all positions of the feature map, scores scaled by C^-0.5."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        batch, height, width, channels = x.shape
        normed = GroupNorm(name="norm")(x)

        def project(name: str) -> Float[Array, "B P C"]:
            projected = nn.Conv(channels, (1, 1), name=name)(normed)
            return projected.reshape(batch, height * width, channels)

        query, keys, values = project("q"), project("k"), project("v")
        scores = jnp.einsum("bqc,bkc->bqk", query, keys) * channels**-0.5
        mixed = jnp.einsum("bqk,bkc->bqc", jax.nn.softmax(scores), values)
        return x + nn.Conv(channels, (1, 1), name="proj_out")(mixed.reshape(x.shape))


class Middle(nn.Module):
    """The bottleneck: block, attention, block."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        x = ResnetBlock(x.shape[-1], name="block_1")(x)
        x = SpatialAttention(name="attn_1")(x)
        return ResnetBlock(x.shape[-1], name="block_2")(x)


class Upsample(nn.Module):
    """Nearest neighbour to twice the size, then a 3x3 convolution."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B I J C"]:
        return nn.Conv(x.shape[-1], (3, 3), name="conv")(x.repeat(2, axis=1).repeat(2, axis=2))


def level_blocks(
    x: Float[Array, "B H W C"], channels: int, blocks: int, attention: bool
) -> Float[Array, "B H W D"]:
    """The blocks of one resolution, as modules of the caller, each with attention where wanted."""
    for index in range(blocks):
        x = ResnetBlock(channels, name=f"block_{index}")(x)
        if attention:
            x = SpatialAttention(name=f"attn_{index}")(x)
    return x


class UpLevel(nn.Module):
    """One resolution: its blocks, then upsampling."""

    channels: int
    blocks: int
    attention: bool
    upsample: bool

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B I J D"]:
        x = level_blocks(x, self.channels, self.blocks, self.attention)
        return Upsample(name="upsample")(x) if self.upsample else x


class Decoder(nn.Module):
    """Latent feature map to image."""

    config: VQGANConfig

    @nn.compact
    def __call__(self, latent: Float[Array, "B H W Z"]) -> Float[Array, "B I J 3"]:
        config = self.config
        coarsest = len(config.ch_mult) - 1
        x = nn.Conv(config.ch * config.ch_mult[-1], (3, 3), name="conv_in")(latent)
        x = Middle(name="mid")(x)
        for level in reversed(range(coarsest + 1)):
            x = UpLevel(
                channels=config.ch * config.ch_mult[level],
                blocks=config.num_res_blocks + 1,
                attention=config.resolution // 2**level in config.attn_resolutions,
                upsample=level > 0,
                name=f"up_{level}",
            )(x)
        return nn.Conv(3, (3, 3), name="conv_out")(nn.swish(GroupNorm(name="norm_out")(x)))


class Codebook(nn.Module):
    """Image token to its latent vector."""

    config: VQGANConfig

    @nn.compact
    def __call__(self, tokens: Int[Array, "B N"]) -> Float[Array, "B N E"]:
        return nn.Embed(self.config.n_embed, self.config.embed_dim, name="embedding")(tokens)


class VQGANDecoder(nn.Module):
    """Image tokens to a float image of about 0..1, as vqgan-jax's `decode_code`."""

    config: VQGANConfig

    def setup(self) -> None:
        self.quantize = Codebook(self.config)
        self.post_quant_conv = nn.Conv(self.config.z_channels, (1, 1))
        self.decoder = Decoder(self.config)

    def __call__(self, tokens: Int[Array, "B N"]) -> Float[Array, "B I J 3"]:
        """Unclipped float32 images. N must be square; a token outside the codebook gives NaN."""
        side = int(tokens.shape[1] ** 0.5)
        latent = self.quantize(tokens).reshape(tokens.shape[0], side, side, -1)
        return self.decoder(self.post_quant_conv(latent))


def to_pixels(image: Float[Array, "*B I J 3"]) -> UInt8[Array, "*B I J 3"]:
    """Clip to 0..1, scale to 255 and truncate (upstream truncates: 0.999 becomes 254)."""
    return (image.clip(0, 1) * 255).astype(jnp.uint8)
