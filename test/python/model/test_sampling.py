"""Guidance, temperature, top-k and top-p against the distributions that upstream samples from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compatibility.parts import WARPS, warp

from sidecar.model.sampling import SlotSampling, draw, guide, sample


@pytest.mark.parametrize("case", WARPS, ids=lambda case: case["key"])
def test_the_distribution_sampled_from_is_upstreams(case):
    ours, want = warp(case)
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(want))
    np.testing.assert_allclose(np.exp(ours), np.exp(want), rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours, want, rtol=0, atol=1e-4)


def random_logits(slots, vocabulary):
    return jax.random.normal(jax.random.key(3), (2, slots, vocabulary)) * 3


def one_setting(slots, *, top_k, top_p=1.0, scale=2.0):
    return SlotSampling(
        jnp.full(slots, scale), jnp.full(slots, 0.8), jnp.full(slots, top_k), jnp.full(slots, top_p)
    )


def test_draws_follow_the_distribution():
    logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
    keys = jax.random.split(jax.random.key(0), 20_000)
    ids = jnp.arange(3)[None]
    drawn = draw(keys, logits.repeat(len(keys), 0), ids.repeat(len(keys), 0))
    shares = np.bincount(np.asarray(drawn), minlength=3) / len(keys)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.015)


@pytest.mark.parametrize("top_k", [1, 5, 50])
def test_a_slot_draws_the_same_however_many_candidates_its_neighbours_need(top_k):
    conditional, unconditional = random_logits(4, 1000)
    keys = jax.random.split(jax.random.key(1), 4)
    alone = sample(keys, conditional, unconditional, one_setting(4, top_k=top_k, top_p=0.9), few=64)
    mixed = one_setting(4, top_k=top_k, top_p=0.9)
    mixed = mixed._replace(top_k=mixed.top_k.at[3].set(0))
    beside = sample(keys, conditional, unconditional, mixed, few=64)
    np.testing.assert_array_equal(alone[:3], beside[:3])


def test_top_k_one_takes_the_highest_guided_logit():
    conditional, unconditional = random_logits(4, 300)
    keys = jax.random.split(jax.random.key(1), 4)
    drawn = sample(keys, conditional, unconditional, one_setting(4, top_k=1, scale=10.0))
    guided = unconditional + 10 * (conditional - unconditional)
    np.testing.assert_array_equal(drawn, guided.argmax(-1))


def test_condition_scale_one_is_the_conditional_pass_to_the_bit():
    conditional, unconditional = random_logits(2, 50)
    np.testing.assert_array_equal(guide(conditional, unconditional, jnp.ones(2)), conditional)
