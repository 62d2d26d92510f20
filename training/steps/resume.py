"""Going on from checkpoints/nano, where the state of the run that made it is gone."""

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from sidecar.checkpoint.weights import load_dallebart, load_vqgan
from sidecar.model.config import ModelConfig, VQGANConfig
from training.fit.params import Params
from training.paths import CHECKPOINT
from training.steps.codebook import Codebook
from training.steps.vqgan_decoder import vqgan_json

# Weights are stored in float16.
_TOLERANCE = 2e-3


def exported_params(config: ModelConfig, codebook: Codebook) -> Params:
    """The checkpoint's transformer, for a fresh optimiser.

    Raises:
        ValueError: `codebook` is not the one whose tokens it writes.
    """
    vqgan, _ = load_vqgan(CHECKPOINT / "vqgan", VQGANConfig.from_json(vqgan_json(codebook.size)))
    vectors = np.asarray(flatten_dict(vqgan)["quantize", "embedding", "embedding"])
    if not np.allclose(vectors, codebook.embedding(), rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ValueError(
            "the codebook in training/work is not the one of checkpoints/nano: make it with the"
            " packages of training/requirements.txt, or train from the beginning"
        )
    params, _ = load_dallebart(CHECKPOINT, config, jnp.dtype("float32"))
    return params
