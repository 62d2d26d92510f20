"""The program that prints docs/compatibility.md:

PYTHONPATH=.:test/python .venv/bin/python -m compatibility.page > docs/compatibility.md
"""

import os
import sys

# As in conftest.py; a GPU's float32 products are not what the page is about.
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np
from compatibility.decoding import (
    ILL_CONDITIONED,
    NAMES,
    Deviation,
    Rounding,
    measure,
    measure_rounding,
)
from compatibility.parts import (
    CERTAIN_PROMPTS,
    WARPS,
    count_equal_texts,
    draw_images,
    encode_images,
    warp,
)

BFLOAT16_NAMES = ("mega-fp16", "mega-scan", "mini-scan")

PAGE = """# Compatibility

Every checkpoint of `test/fixtures/upstream`, answered by this program and by upstream's own code
(dalle-mini 0.1.5, vqgan-jax). Printed on a CPU by
`PYTHONPATH=.:test/python .venv/bin/python -m compatibility.page`; `test_compatibility.py` there
holds the numbers to their bounds, and this page to the program that prints it.

## Float32

The largest absolute difference of encoder output, of logits of a whole sequence, and of logits one
token at a time through the cache; the same logits when the decoder is given upstream's encoder
output; then greedy steps that are equal, of those that upstream decides clearly (the best logit
leads by 0.001, with guidance by 0.005), for guidance 1 and 10. All prompts of the golden files.
Logits have a standard deviation of about 2.3.

{float32}
## Where rounding decides

Two of the checkpoints miss the bound of 0.0001 on logits that all others keep, and upstream would
miss it too: their arithmetic in float64 is as far from upstream's float32 as from ours. Their
random weights amplify any rounding. Moving each weight by at most half of float32's last place
(2^-24 of itself) moves the float64 logits by more than the bound. Given the same encoder output,
the decoders agree within it (table above), and so do all greedy tokens. Cosine attention multiplies
scores by 20 before its softmax; swinv2's layers divide by the deviation of 12 numbers after each of
its 21 blocks a side.

{rounding}
## Bfloat16

Weights and activations in bfloat16, logits in float32. Largest difference to upstream's float32;
the share of teacher-forced positions with the same highest logit; the share of greedy tokens that
are the same, where one step that falls otherwise changes all that follow it. Bounds in the test:
0.15, 0.75, and 85 % of the positions.

{bfloat16}
## Compared once

| compared | upstream's answers | result |
| --- | --- | --- |
{once}
## Not served

Upstream cannot run `use_alibi`, `tie_word_embeddings`, `use_final_ln_decoder: false` and
`ln_positions` postln and deepnet; it cannot generate with `use_swin_position_embeddings`. They are
refused by name when a start reads `config.json`, before anything is allocated.
"""


def make_page() -> str:
    """The whole page, from what this process has measured or measures now."""
    return PAGE.format(
        float32=_head(
            *("checkpoint", "encoder", "logits", "cached", "decoder", "decoder, cached"),
            *("greedy", "guidance 10"),
        )
        + "".join(_float32_row(measure(name)) for name in NAMES),
        rounding=_head(
            *("checkpoint", "encoder: upstream's", "ours", "logits: upstream's", "ours"),
            "weights moved by 2^-24",
        )
        + "".join(_rounding_row(measure_rounding(name)) for name in ILL_CONDITIONED),
        bfloat16=_head(
            *("checkpoint", "encoder", "logits", "cached", "same highest logit"),
            "same greedy tokens",
        )
        + "".join(_bfloat16_row(measure(name, "bfloat16")) for name in BFLOAT16_NAMES),
        once="".join(_row(*cells) for cells in _compare_once()),
    )


def _float32_row(found: Deviation) -> str:
    numbers = (
        found.encoder,
        found.logits,
        found.cached_logits,
        found.decoder_logits,
        found.decoder_cached_logits,
    )
    steps = zip(found.equal, found.compared, strict=True)
    counts = (f"{equal} of {compared}" for equal, compared in steps)
    return _row(found.name, *map(_number, numbers), *counts)


def _rounding_row(found: Rounding) -> str:
    numbers = (
        found.upstream_encoder,
        found.our_encoder,
        found.upstream_logits,
        found.our_logits,
        found.rounded_logits,
    )
    return _row(found.name, *map(_number, numbers))


def _bfloat16_row(found: Deviation) -> str:
    numbers = (found.encoder, found.logits, found.cached_logits)
    shares = (found.same_choices, found.same_tokens)
    return _row(found.name, *map(_number, numbers), *(f"{share:.1%}" for share in shares))


def _compare_once() -> list[tuple[str, str, str]]:
    probabilities = max(
        np.abs(np.exp(ours) - np.exp(upstreams)).max() for ours, upstreams in map(warp, WARPS)
    )
    images = draw_images()
    apart = np.abs(images.pixels.astype(int) - images.upstreams_pixels)
    decoded = np.abs(images.decoded - images.upstreams_decoded).max()
    codes = encode_images()
    latent = np.abs(codes.latent - codes.upstreams_latent).max()
    same = int((codes.tokens == codes.upstreams_tokens).sum())
    texts = f"{count_equal_texts()} equal (one more is random there, and one of its results here)"
    return [
        ("text, token ids, mask", f"{len(CERTAIN_PROMPTS)} prompts", texts),
        (
            "distribution after guidance, temperature, top-k, top-p",
            f"{len(WARPS)} settings",
            f"at most {_number(probabilities)} apart in probability",
        ),
        (
            "VQGAN decoder",
            f"{images.pixels.size} pixel values",
            f"at most {_number(decoded)} apart; {int((apart > 0).sum())} values differ, "
            f"by at most {apart.max()} of 255",
        ),
        (
            "VQGAN encoder",
            f"{codes.tokens.size} tokens",
            f"{same} equal; latents at most {_number(latent)} apart",
        ),
    ]


def _number(value: float) -> str:
    return f"{value:.1e}"


def _head(*cells: str) -> str:
    return _row(*cells) + _row(*["---"] * len(cells))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.stdout.write(make_page())
