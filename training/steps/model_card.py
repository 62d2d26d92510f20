"""The README.md of checkpoints/nano, filled in from what the training steps recorded."""

from collections.abc import Mapping
from typing import TypedDict

from training.fit.curve import Curve
from training.fit.params import count_parameters
from training.fit.run import Run
from training.steps.batches import DISTURBED_SHARE, EMPTY_SHARE, OPEN_WEIGHT, TEXT_LENGTH
from training.steps.codebook import FIRST_ICON, GROUND_CODES, ICON_CODES
from training.steps.transformer import BATCH
from training.steps.transformer import SEED as TRANSFORMER_SEED
from training.steps.vqgan_decoder import BATCH as VQGAN_BATCH
from training.steps.vqgan_decoder import SEED as VQGAN_SEED
from training.steps.vqgan_encoder import BATCH as ENCODER_BATCH
from training.steps.vqgan_encoder import SEED as ENCODER_SEED
from training.world.concepts import learnt_concepts
from training.world.scenes import COLOUR_NAMES, held_out_pairs
from training.world.shapes import SHAPES

LOSS_ROW_STEPS = 2000


class Evaluation(TypedDict):
    """What `evaluate` measured with some settings: shares by aspect, by the name of the row."""

    count: int
    settings: str
    table: dict[str, dict[str, float]]


class Reconstruction(TypedDict):
    """What `reconstruct` measured: decibels by whose tokens, by the kind of pictures."""

    count: int
    decibel: dict[str, dict[str, float]]


_CARD = """\
# Nano

A demonstration model: a true DalleBart and VQGAN in dalle-mini's own file layout, small enough to
live in a repository and to run on two CPU cores. It draws 128 x 128 pictures of {concepts} things
and {shapes_count} coloured shapes, and knows nothing else. For pictures of the world load a
dalle-mini checkpoint (`docs/checkpoints.md`).

- Licence: Apache-2.0, as the repository. The icons it learnt from are Microsoft's Fluent Emoji
  (flat style), MIT licence, copyright (c) Microsoft Corporation: `NOTICE`.
- Data: icons of `@iconify-json/fluent-emoji-flat`, shapes and backgrounds drawn by
  `training/world/scenes.py`, sentences from the names in `training/world/concepts.txt`. No scraped
  pictures or texts.
- Sentences (English): one thing ("a slice of pizza", "a small fox in the top left corner", "a huge
  kangaroo"), two ("a cat left of a dog", "an apple above a red star"), two to four of one kind
  ("three cookies"), each with a background ("on a blue background") or without. What a sentence
  leaves open, the pictures vary.
- Things: {things}.
- Shapes: {shapes}.
- Colours, for shapes and backgrounds: {colours}.
- Never shown in training, so that they can be asked for: one pair of things in ten, one count of a
  thing in nine, one named background of a thing in eight, and the shapes {pairs}.
- A sentence of words that it does not know mostly shows a magnifying glass: it is still looking.
- Transformer: {transformer_parameters:,} parameters, mini's flags, 256 image tokens of {codes:,}
  codes, {text_length} text tokens.
- VQGAN: {vqgan_parameters:,} parameters, 8 x 8 pixels a token.
- Weights: float16. Sampling defaults of this checkpoint: `sampling.json`.

## How it was made

The commands are in `training/README.md`; what was changed between the pieces of the training, and
what else was tried, in [`training/HISTORY.md`](../../training/HISTORY.md).

1. Codebook: k-means over 8 x 8 patches with their transparency: {grounds} backgrounds,
   {shape_codes} codes of shapes, {icon_codes} of icons. An edge code does not say what is behind
   the thing: the decoder asks its neighbours.
2. VQGAN decoder: seed {vqgan_seed}, {vqgan_steps:,} steps of {vqgan_batch} pictures, L1 on pixels
   and edges, Muon and AdamW, {vqgan_minutes:.0f} minutes; {psnr:.1f} dB in the last steps.
3. VQGAN encoder: seed {encoder_seed}, {encoder_steps:,} steps of {encoder_batch} pictures, to name
   the code that the codebook gives each place, Muon and AdamW, {encoder_minutes:.0f} minutes; right
   for {agreement:.0%} of the places in the last steps.
4. Transformer: seed {transformer_seed}, {steps:,} steps of {batch} new examples, Muon and AdamW
   with rates that fall to 0, {minutes:.0f} minutes. At the end of the run {empty:.0%} of the
   captions are empty, {disturbed:.0%} of the examples read tokens of which any share is hidden or
   another picture's, and a place where a thing may begin weighs {open_weight:g} times as much as
   another.

   Nats a token, over all tokens, over those that are not plain, and over the first such token of a
   picture, which only the sentence can say:

   | step | all | not plain | first |
   | ---: | ---: | ---: | ---: |
{losses}
{evaluation}{reconstruction}"""

_EVALUATION = """
## Evaluation

`training.evaluation.evaluate`: {count} sentences a row, one picture each, sampled with the defaults
above ({settings}). Object: the first
answer of a classifier that was trained on the source pictures only is the thing that was asked for
(with several things: all of them). Nearest: the most similar source picture is. Colour: the named
background. Relation: every thing in its place, or the right count.

| sentences | object | nearest | colour | relation |
|---|---|---|---|---|
{rows}

Shapes, 60 pictures, pairs of shape and colour never trained on, judged by pixels
(`test/python/support/scene_check.py`): {shapes}.

Aimed at: 80 % of in-set captions, 60 % of held-out phrasings; of compositions 85 % for the colour,
70 % for the objects, 60 % for the relation.
"""

_RECONSTRUCTION = """
## Reconstruction

`training.evaluation.reconstruct`: {count} pictures of each kind through the VQGAN and back, in
decibels (PSNR): by the tokens that the encoder gives a picture, and by those that the codebook
gives the scene.

| pictures | encoder | codebook |
|---|---|---|
{rows}

![originals above, reconstructions below](../../docs/pictures/reconstruction.png)
"""


def model_card(
    transformer: Run,
    vqgan: Run,
    encoder: Run,
    evaluation: Evaluation | None,
    reconstruction: Reconstruction | None,
) -> str:
    """The card; it has no section about what was not measured."""
    return _CARD.format(
        concepts=len(learnt_concepts()),
        shapes_count=len(SHAPES),
        things=", ".join(concept.names[0] for concept in learnt_concepts()),
        shapes=", ".join(SHAPES),
        colours=", ".join(COLOUR_NAMES),
        pairs=", ".join(f"{colour} {shape}" for shape, colour in held_out_pairs()),
        transformer_parameters=count_parameters(transformer.params),
        codes=FIRST_ICON + ICON_CODES,
        text_length=TEXT_LENGTH,
        vqgan_parameters=count_parameters(vqgan.params | encoder.params),
        grounds=GROUND_CODES,
        shape_codes=FIRST_ICON - GROUND_CODES,
        icon_codes=ICON_CODES,
        vqgan_seed=VQGAN_SEED,
        vqgan_steps=vqgan.step,
        vqgan_batch=VQGAN_BATCH,
        vqgan_minutes=vqgan.seconds / 60,
        psnr=vqgan.curve.last("psnr"),
        encoder_seed=ENCODER_SEED,
        encoder_steps=encoder.step,
        encoder_batch=ENCODER_BATCH,
        encoder_minutes=encoder.seconds / 60,
        agreement=encoder.curve.last("agreement"),
        transformer_seed=TRANSFORMER_SEED,
        steps=transformer.step,
        batch=BATCH,
        empty=EMPTY_SHARE,
        disturbed=DISTURBED_SHARE,
        open_weight=OPEN_WEIGHT,
        minutes=transformer.seconds / 60,
        losses=_losses(transformer.curve),
        evaluation=_evaluation(evaluation) if evaluation else "",
        reconstruction=_reconstruction(reconstruction) if reconstruction else "",
    )


def _losses(curve: Curve) -> str:
    """Rows of the loss curve: one every `LOSS_ROW_STEPS` steps, and the last."""
    rows = [row for row in curve.rows if row[0] % LOSS_ROW_STEPS == 0 or row is curve.rows[-1]]
    values = [dict(zip(("step", *curve.columns), row, strict=True)) for row in rows]
    return "\n".join(
        f"   | {at['step']:,} | {at['all']:.3f} | {at['outline']:.3f} | {at['beginning']:.2f} |"
        for at in values
    )


def _evaluation(record: Evaluation) -> str:
    table = record["table"]
    rows = [_row(name, shares) for name, shares in table.items() if name != "shapes"]
    shapes = ", ".join(f"{aspect} {share:.0%}" for aspect, share in table["shapes"].items())
    return _EVALUATION.format(
        count=record["count"], settings=record["settings"], rows="\n".join(rows), shapes=shapes
    )


def _reconstruction(record: Reconstruction) -> str:
    rows = [
        f"| {name} | {values['encoder']:.1f} | {values['codebook']:.1f} |"
        for name, values in record["decibel"].items()
    ]
    return _RECONSTRUCTION.format(count=record["count"], rows="\n".join(rows))


def _row(name: str, shares: Mapping[str, float]) -> str:
    aspects = ("object", "nearest", "colour", "relation")
    cells = (f"{shares[aspect]:.0%}" if aspect in shares else "" for aspect in aspects)
    return f"| {name} | {' | '.join(cells)} |"
