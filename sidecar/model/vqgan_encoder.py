"""The VQGAN's encoder half: images to image tokens (taming-transformers' `Encoder`, NHWC).

Serving prompts does not need it: its weights are read only by `load_vqgan_encoder`. Parameter names
are upstream's own. Shapes as in `vqgan.py`.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from sidecar.model.config import VQGANConfig
from sidecar.model.vqgan_decoder import Codebook, GroupNorm, Middle, level_blocks


class Downsample(nn.Module):
    """3x3 convolution of stride 2, padded by one row below and one column on the right only."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B I J C"]:
        padding = ((0, 1), (0, 1))
        return nn.Conv(x.shape[-1], (3, 3), strides=(2, 2), padding=padding, name="conv")(x)


class DownLevel(nn.Module):
    """One resolution: its blocks, then downsampling."""

    channels: int
    blocks: int
    attention: bool
    downsample: bool

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B I J D"]:
        x = level_blocks(x, self.channels, self.blocks, self.attention)
        return Downsample(name="downsample")(x) if self.downsample else x


class Encoder(nn.Module):
    """Image to latent feature map."""

    config: VQGANConfig

    @nn.compact
    def __call__(self, image: Float[Array, "B I J 3"]) -> Float[Array, "B H W Z"]:
        config = self.config
        coarsest = len(config.ch_mult) - 1
        x = nn.Conv(config.ch, (3, 3), name="conv_in")(image)
        for level, factor in enumerate(config.ch_mult):
            x = DownLevel(
                channels=config.ch * factor,
                blocks=config.num_res_blocks,
                attention=config.resolution // 2**level in config.attn_resolutions,
                downsample=level < coarsest,
                name=f"down_{level}",
            )(x)
        x = nn.swish(GroupNorm(name="norm_out")(Middle(name="mid")(x)))
        return nn.Conv(config.z_channels, (3, 3), name="conv_out")(x)


class VQGANEncoder(nn.Module):
    """Images of 0..1 to image tokens, as vqgan-jax's `encode`."""

    config: VQGANConfig

    def setup(self) -> None:
        self.encoder = Encoder(self.config)
        self.quant_conv = nn.Conv(self.config.embed_dim, (1, 1))
        self.quantize = Codebook(self.config)

    def latent(self, image: Float[Array, "B I J 3"]) -> Float[Array, "B H W E"]:
        """Feature map before it is rounded to the codebook; I, J: multiples of the downsampling."""
        return self.quant_conv(self.encoder(image))

    def __call__(self, image: Float[Array, "B I J 3"]) -> Int[Array, "B N"]:
        """The codebook entry nearest to each place of the feature map, row by row."""
        latent = self.latent(image)
        rows = latent.reshape(-1, latent.shape[-1])
        entries = self.quantize(jnp.arange(self.config.n_embed)[None])[0]
        # Squared distance without the part that is the same for all entries.
        distances = (entries**2).sum(-1)[None] - 2 * rows @ entries.T
        return distances.argmin(-1).reshape(latent.shape[0], -1)


def from_pixels(pixels: UInt8[Array, "*B I J 3"]) -> Float[Array, "*B I J 3"]:
    """What the encoder reads of an image: 0..1, without mean or deviation."""
    return pixels.astype(jnp.float32) / 255
