"""Every checkpoint that upstream can run gives upstream's numbers: see docs/compatibility.md."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from compatibility.decoding import ILL_CONDITIONED, NAMES, measure, measure_rounding
from compatibility.page import BFLOAT16_NAMES, make_page
from conftest import REPO_ROOT


@pytest.fixture(scope="module", autouse=True)
def _measured_side_by_side():
    """Most of the time is the compiler's, which needs no Python: two at a time take half of it."""
    with ThreadPoolExecutor(2) as pool:
        for name in NAMES:
            pool.submit(measure, name)  # One that fails does so again in its test.


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_greedy_tokens_are_upstreams(name):
    """Encoder, teacher-forced and cached logits; greedy tokens until a near tie."""
    found = measure(name)
    is_ill = name in ILL_CONDITIONED
    assert found.encoder < (5e-4 if is_ill else 5e-5)
    assert found.logits < (5e-3 if is_ill else 1e-4)
    assert found.cached_logits < (5e-3 if is_ill else 1e-4)
    assert found.decoder_logits < 1e-4
    assert found.decoder_cached_logits < 1e-4
    assert found.equal == found.compared
    assert min(found.compared) > 0


@pytest.mark.parametrize("name", ILL_CONDITIONED)
def test_a_checkpoint_with_looser_bounds_is_one_that_float32_cannot_answer_within_the_others(name):
    found = measure_rounding(name)
    assert found.rounded_logits > 1e-4
    assert found.upstream_logits > 1e-4
    assert found.our_encoder < 2 * found.upstream_encoder
    assert found.our_logits < 2 * found.upstream_logits


@pytest.mark.parametrize("name", BFLOAT16_NAMES)
def test_bfloat16_stays_within_its_bounds(name):
    found = measure(name, "bfloat16")
    assert found.encoder < 0.15
    assert max(found.logits, found.cached_logits) < 0.75
    assert found.same_choices > 0.85


def test_the_committed_page_is_what_the_program_prints():
    """Up to the digits of the numbers, which the last bits of a processor may change."""
    page = (REPO_ROOT / "docs" / "compatibility.md").read_text("utf-8")
    assert hide_digits(page) == hide_digits(make_page())


def hide_digits(page):
    return re.sub(r"\d\.\de-\d\d|\d+\.\d%", "#", page)
