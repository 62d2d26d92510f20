"""The README.md of checkpoints/nano, filled in from what the training steps recorded."""

from collections.abc import Mapping

from training.codebook import OUTLINES
from training.optimizer import Run, count_parameters
from training.scenes import COLOUR_NAMES, held_out_pairs
from training.shapes import SHAPES
from training.transformer import EMPTY_SHARE, TEXT_LENGTH
from training.transformer import SEED as TRANSFORMER_SEED
from training.vqgan import SEED as VQGAN_SEED

_CARD = """\
# Nano

A demonstration model: a true DalleBart and VQGAN in dalle-mini's own file layout, small enough to live in a
repository and to run on two CPU cores. It draws 128 x 128 pictures of coloured shapes and knows nothing else.
For pictures of the world load a dalle-mini checkpoint.

- Licence: Apache-2.0, as the repository.
- Data: drawn by `training/scenes.py` while training. No foreign pictures or texts.
- Shapes: {shapes}.
- Colours, for shapes and backgrounds: {colours}.
- Sentences (English): one shape with its size, colour and place ("a small red star in the top left corner") and
  a background ("on a blue background"; white when none is named). What a sentence leaves open, the pictures vary.
- Never shown in training, so that they can be asked for in tests: {pairs}.
- Cannot draw anything else, several shapes included: a sentence it does not know gives some picture of a shape.
- Transformer: {transformer_parameters:,} parameters, mini's flags, 256 image tokens of {codes:,} codes,
  {text_length} text tokens.
- VQGAN: {vqgan_parameters:,} parameters, 8 x 8 pixels a token; decoder and codebook only, no encoder.
- Weights: float16. Sampling defaults of this checkpoint: `sampling.json`.

## How it was made

On a machine with two CPU cores, shared with other work; the commands are in `training/README.md`.

1. Codebook: k-means over 8 x 8 patches; {flat} plain codes and {outlines} outline codes for each pair of colours.
2. VQGAN decoder: seed {vqgan_seed}, {vqgan_steps} steps of 4 pictures, L1 on pixels and edges, Muon and AdamW,
   {vqgan_minutes:.0f} minutes, {psnr:.1f} dB.
3. Transformer: seed {transformer_seed}, {steps} steps of 16 new examples, {empty:.0%} empty captions, Muon and AdamW,
   {minutes:.0f} minutes; loss {all:.3f} nats a token over all tokens, {outline:.3f} over outline tokens.

{history}
{evaluation}"""

HISTORY = """\
These weights were not made in one run. Until step 100 a step had 8 examples. Until step 950 the loss counted
outline tokens several times, which makes a model draw them too often; since then all tokens count the same.
Until step 1050 the sentences also told of two to four shapes in one picture; until step 2200 a sentence that left
size or place open always had the same picture."""


_EVALUATION = """
## Evaluation

{count} pictures for {sentences} sentences, each with a pair of shape and colour that training never showed, sampled
with the defaults above ({settings}) and judged by their pixels
(`test/python/scene_check.py`):

| right | share |
|---|---|
{rows}
"""


def model_card(transformer: Run, vqgan: Run, evaluation: Mapping[str, object]) -> str:
    """The card's text; the evaluation is left out while there is none."""
    return _CARD.format(
        shapes=", ".join(SHAPES),
        colours=", ".join(COLOUR_NAMES),
        pairs=", ".join(f"{colour} {shape}" for shape, colour in held_out_pairs()),
        transformer_parameters=count_parameters(transformer.params),
        vqgan_parameters=count_parameters(vqgan.params),
        codes=len(COLOUR_NAMES) + len(COLOUR_NAMES) * (len(COLOUR_NAMES) - 1) // 2 * OUTLINES,
        text_length=TEXT_LENGTH,
        flat=len(COLOUR_NAMES),
        outlines=OUTLINES,
        vqgan_seed=VQGAN_SEED,
        vqgan_steps=vqgan.step,
        vqgan_minutes=vqgan.seconds / 60,
        psnr=vqgan.curve.last("psnr"),
        transformer_seed=TRANSFORMER_SEED,
        steps=transformer.step,
        minutes=transformer.seconds / 60,
        empty=EMPTY_SHARE,
        all=transformer.curve.last("all"),
        outline=transformer.curve.last("outline"),
        history=HISTORY,
        evaluation=_evaluation(evaluation),
    )


def _evaluation(evaluation: Mapping[str, object]) -> str:
    shares = evaluation.get("shares")
    if not isinstance(shares, Mapping):
        return ""
    return _EVALUATION.format(
        count=evaluation["pictures"],
        sentences=evaluation["sentences"],
        settings=evaluation["settings"],
        rows="\n".join(f"| {name} | {share:.0%} |" for name, share in shares.items()),
    )
