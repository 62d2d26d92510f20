"""Step `transformer`: train DalleBart to write the image tokens of a sentence.

Every batch is new: sentences and scenes are drawn as they are needed, so there is no data set to
run out of. Run again to go on where it stopped.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from sidecar.model.config import ModelConfig
from sidecar.model.dallebart import DalleBart
from training.fit.fast_math import cross_entropy, fast_math
from training.fit.loop import Schedule, Update, step_parser, train_on
from training.fit.optimizer import apply_scaled, build_optimizer
from training.fit.params import Params, count_parameters, fresh_params, output
from training.fit.run import Run
from training.language.tokenizer import load_tokenizer
from training.paths import work_file
from training.steps.batches import TEXT_LENGTH, Batch, BatchSource
from training.steps.codebook import Codebook
from training.steps.resume import exported_params
from training.world.shapes import GRID

SEED = 31
BATCH = 16
WARM_UP, DECAY_SHARE = 60, 0.4
STATE = "transformer.state"


def transformer_json(text_vocabulary: int, codes: int) -> dict[str, object]:
    """The `config.json` of the DalleBart folder: mini's flags at a small size."""
    return {
        "activation_dropout": 0.0,
        "activation_function": "gelu",
        "architectures": ["eBart"],
        "attention_dropout": 0.0,
        "bos_token_id": codes + 1,
        "d_model": 192,
        "decoder_attention_heads": 3,
        "decoder_ffn_dim": 512,
        "decoder_layers": 5,
        "decoder_start_token_id": codes,
        "do_sample": True,
        "dropout": 0.0,
        "encoder_attention_heads": 3,
        "encoder_ffn_dim": 512,
        "encoder_layers": 2,
        "encoder_vocab_size": text_vocabulary,
        "eos_token_id": codes + 1,
        "force_ln_scale": False,
        "gradient_checkpointing": False,
        "image_length": GRID * GRID,
        "image_vocab_size": codes,
        "init_std": 0.02,
        "is_encoder_decoder": True,
        "ln_positions": "normformer",
        "ln_type": "layernorm",
        "max_length": GRID * GRID + 1,
        "max_text_length": TEXT_LENGTH,
        "min_length": GRID * GRID + 1,
        "model_type": "dallebart",
        "normalize_text": True,
        "pad_token_id": codes + 1,
        "scale_embedding": False,
        "sinkhorn_iters": 1,
        "tau_init": 0.05,
        "tie_word_embeddings": False,
        "transformers_version": "4.25.1",
        "use_absolute_position_embeddings": True,
        "use_alibi": False,
        "use_bias": False,
        "use_cache": True,
        "use_cosine_attention": False,
        "use_deepnet_scaling": False,
        "use_final_ln_decoder": True,
        "use_final_ln_encoder": True,
        "use_glu": True,
        "use_head_scale": False,
        "use_scan": True,
        "use_subln_init": False,
        "use_swin_position_embeddings": False,
    }


class Losses(NamedTuple):
    """Nats a token.

    `trained` is over all tokens; the others are over undisturbed examples only: over all their
    tokens, over those that are not plain, and over the first such token, which only the sentence
    can say.
    """

    trained: Float[Array, ""]
    all: Float[Array, ""]
    outline: Float[Array, ""]
    beginning: Float[Array, ""]


def token_losses(logits: Float[Array, "B L V"], batch: Batch) -> Losses:
    """Cross entropy of the targets, averaged in four ways.

    What begins at an open place, only the sentence can say, and few places of a picture are such
    beginnings: open places count more. A weight must not depend on the target, only on what the
    decoder has seen: counting outlines more, say, makes a model draw them too often.
    """
    targets = jnp.asarray(batch.targets)
    flat = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
    loss = flat.reshape(targets.shape)

    def mean_over(mask: Bool[np.ndarray, "B L"]) -> Float[Array, ""]:
        return (loss * mask).sum() / jnp.maximum(mask.sum(), 1)

    return Losses(
        (loss * batch.weights).sum() / batch.weights.sum(),
        mean_over(batch.counted),
        mean_over(batch.outlines),
        mean_over(batch.beginnings),
    )


def make_step(module: DalleBart, optimizer: optax.GradientTransformation) -> Update[Batch]:
    """One compiled update."""

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Params, state: optax.OptState, batch: Batch, scale: jax.Array):
        def loss(params: Params) -> tuple[jax.Array, Losses]:
            with fast_math():
                logits = output(module, params, *batch[:3])
            losses = token_losses(logits, batch)
            return losses.trained, losses

        gradients, losses = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradients, state, params)
        return apply_scaled(params, updates, scale), state, losses

    return step


def initial_params(module: DalleBart, codebook: Codebook, example: Batch) -> Params:
    """Fresh parameters; the rows and columns of image tokens begin with what the tokens look like.

    Codes that look alike start close together, so that what is learnt about one serves the others
    long before each was seen often.
    """
    params = fresh_params(module, SEED, *example[:3])
    random = np.random.default_rng(SEED)
    width = module.config.d_model

    def vectors() -> np.ndarray:
        looks = codebook.embedding()
        mixed = looks @ random.standard_normal((looks.shape[1], width))
        own = random.standard_normal((codebook.size, width))
        rows = np.sqrt(0.7) * mixed / mixed.std() + np.sqrt(0.3) * own
        start = random.standard_normal((1, width))
        return np.concatenate([rows, start]).astype(np.float32) / np.sqrt(width)

    embedding = {"embedding": jnp.asarray(vectors())}
    return {
        **params,
        "decoder": {**params["decoder"], "embed_tokens": embedding},
        "lm_head": {"kernel": jnp.asarray(vectors().T)},
    }


def train(
    steps: int, batch_size: int, muon_rate: float, adam_rate: float, from_checkpoint: bool = False
) -> None:
    """Train up to `steps`; a run without a state begins with fresh weights, or the checkpoint's."""
    codebook, tokenizer = Codebook.load(), load_tokenizer()
    config = ModelConfig.from_json(transformer_json(tokenizer.get_vocab_size(), codebook.size))
    module = DalleBart(config)
    path = work_file(STATE)
    source = BatchSource(codebook, tokenizer, SEED)
    params = (
        exported_params(config, codebook)
        if from_checkpoint
        else initial_params(module, codebook, source.batch(1))
    )
    optimizer = build_optimizer(muon_rate, adam_rate, max_norm=1.0)
    run = Run.resume(path, params, optimizer.init(params), Losses._fields)
    source = BatchSource(codebook, tokenizer, SEED + 1 + run.step)
    update = make_step(module, optimizer)
    print(f"{count_parameters(params)} parameters, from step {run.step} to {steps}", flush=True)

    def describe(means: list[float]) -> dict[str, float]:
        return dict(zip(Losses._fields, means, strict=True))

    schedule = Schedule(steps, WARM_UP, DECAY_SHARE)
    train_on(run, path, schedule, update, lambda: source.batch(batch_size), describe)


def main() -> None:
    """Parse the step's options and train."""
    parser = step_parser(__doc__, steps=37_000, batch=BATCH, muon_rate=0.005, adam_rate=7e-4)
    parser.add_argument(
        "--from-checkpoint",
        action="store_true",
        help="begin with the weights of checkpoints/nano where training/work has no state",
    )
    options = parser.parse_args()
    train(
        options.steps,
        options.batch,
        options.muon_rate,
        options.adam_rate,
        options.from_checkpoint,
    )


if __name__ == "__main__":
    main()
