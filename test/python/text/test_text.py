"""The text path against what upstream makes of the same prompts."""

import functools
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.text import HashtagSplitter, TextNormalizer, TextProcessor, TokenizerError

UPSTREAM = Path(__file__).resolve().parents[2] / "fixtures" / "upstream"
CHECKPOINT = UPSTREAM / "models" / "mini-scan"
GOLDEN: dict[str, Any] = json.loads((UPSTREAM / "text.json").read_text(encoding="utf-8"))
ENTRIES: list[dict[str, Any]] = GOLDEN["entries"]
CERTAIN = [entry for entry in ENTRIES if not entry.get("random")]
RANDOM = [entry for entry in ENTRIES if entry.get("random")]
# Typed into a prompt these are special tokens for upstream's tokenizer, and plain text for ours.
SPECIAL_TOKENS = tuple(GOLDEN["special_ids"])
# Upstream's version of the library replaced lone surrogates by itself; ours never gets any.
PLAIN = [
    entry | {"prompt": entry["prompt"].encode("utf-8", "surrogatepass").decode("utf-8", "replace")}
    for entry in ENTRIES
    if not any(token in entry["prompt"] for token in SPECIAL_TOKENS)
]
LAST_ID_PROMPTS = [entry["prompt"] for entry in CERTAIN if 599 in entry["input_ids"]]


@functools.cache
def processor(
    folder: Path = CHECKPOINT, *, vocab_size: int = 600, normalize: bool = True
) -> TextProcessor:
    return TextProcessor.from_checkpoint(
        folder, max_length=64, vocab_size=vocab_size, normalize=normalize
    )


def normalizer(frequency_file: Path | None) -> TextNormalizer:
    return TextNormalizer(HashtagSplitter(frequency_file))


def name_of(entry: dict[str, Any]) -> str:
    return ascii(entry["prompt"][:40])


def test_the_golden_set_is_whole() -> None:
    assert (len(ENTRIES), len(RANDOM)) == (231, 1)


@pytest.mark.parametrize("entry", CERTAIN, ids=name_of)
def test_normalized_text_ids_and_mask_equal_upstreams(entry: dict[str, Any]) -> None:
    listed = normalizer(UPSTREAM / "enwiki-words-frequency.txt")
    assert listed.normalize(entry["prompt"]) == entry["normalized"]
    encoded = processor().encode(entry["prompt"])
    assert encoded.ids.tolist() == entry["input_ids"]
    assert encoded.mask.tolist() == entry["attention_mask"]
    assert encoded.live_count == sum(entry["attention_mask"])


def test_no_prompt_of_a_large_set_is_normalized_otherwise_than_upstream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Random sentences, strings over the alphabet of each rule, all of Unicode's basic plane, emoji.

    Upstream's random word for <person> was fixed to "someone" when the answers were made.
    """
    monkeypatch.setattr("sidecar.text.normalizer._PERSON_WORDS", ("someone",))
    with gzip.open(UPSTREAM / "text-more.json.gz", "rt", encoding="utf-8") as file:
        answers: list[tuple[str, str]] = json.load(file)
    listed = normalizer(UPSTREAM / "enwiki-words-frequency.txt")
    wrong = [
        (prompt, listed.normalize(prompt))
        for prompt, expected in answers
        if listed.normalize(prompt) != expected
    ]
    assert len(answers) == 75_307
    assert wrong == []


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a jack-o-lantern on a porch", " a jack o, lantern on a porch"),
        ("R-2-D-2", " r 2, d 2"),
        ("1,000,000,000 stars", " 1000000000 stars"),
        ("lakh 12,34,56,789 rupees", " lakh 12, 3456789 rupees"),
        ("E = mc^2", " e, mc^2"),
        ("^_^", " ^ ^"),
    ],
)
def test_signs_between_letters_and_digits_follow_upstreams_rules(
    prompt: str, expected: str
) -> None:
    assert normalizer(None).normalize(prompt) == expected


@pytest.mark.parametrize("entry", RANDOM, ids=name_of)
def test_what_upstream_draws_at_random_is_one_of_its_results_and_always_the_same(
    entry: dict[str, Any],
) -> None:
    texts = {normalizer(None).normalize(entry["prompt"]) for _ in range(10)}
    assert len(texts) == 1
    assert texts <= set(entry["normalized_any_of"])


def test_other_prompts_about_a_person_get_other_words() -> None:
    words = {
        normalizer(None).normalize(f"<person> with {count} dogs").split(" with")[0]
        for count in range(50)
    }
    assert words == {" a person", " someone", " somebody"}


@pytest.mark.parametrize("entry", PLAIN, ids=name_of)
def test_without_the_normalizer_ids_equal_upstreams(entry: dict[str, Any]) -> None:
    encoded = processor(normalize=False).encode(entry["prompt"])
    assert encoded.ids.tolist() == entry["raw_input_ids"]
    assert encoded.mask.tolist() == entry["raw_attention_mask"]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_a_prompt_cannot_inject_special_tokens(token: str, normalize: bool) -> None:
    encoded = processor(normalize=normalize).encode(f"a cat {token} a dog")
    inner = encoded.ids[1 : encoded.live_count - 1]
    assert inner.min() > max(GOLDEN["special_ids"].values())


@pytest.mark.parametrize("normalize", [True, False])
def test_the_unconditional_row_is_begin_and_end_only(normalize: bool) -> None:
    row = processor(normalize=normalize).unconditional()
    assert row.ids.tolist() == GOLDEN["unconditional"]["input_ids"]
    assert row.mask.tolist() == GOLDEN["unconditional"]["attention_mask"]
    assert row.live_count == 2


def test_an_empty_prompt_is_one_space_and_not_the_unconditional_row() -> None:
    assert processor().encode("").live_count == 3


@pytest.mark.parametrize("prompt", LAST_ID_PROMPTS)
def test_an_id_without_a_row_in_the_table_becomes_unknown(prompt: str) -> None:
    whole = processor(vocab_size=600).encode(prompt)
    short = processor(vocab_size=599).encode(prompt)
    assert np.array_equal(short.ids, np.where(whole.ids == 599, 3, whole.ids))
    assert 599 in whole.ids
    assert np.array_equal(short.mask, whole.mask)


def test_three_golden_prompts_have_an_id_without_a_row() -> None:
    assert len(LAST_ID_PROMPTS) == 3


@pytest.mark.parametrize("max_length", [8, 64])
def test_a_long_prompt_is_cut_and_keeps_its_end_token(max_length: int) -> None:
    text = TextProcessor.from_checkpoint(
        CHECKPOINT, max_length=max_length, vocab_size=600, normalize=True
    )
    encoded = text.encode("cat " * 200)
    assert encoded.ids.shape == (max_length,)
    assert encoded.ids[-1] == 2
    assert encoded.live_count == max_length


def test_vocabulary_and_merges_make_the_same_tokenizer(tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt", "enwiki-words-frequency.txt"):
        shutil.copy(CHECKPOINT / name, tmp_path)
    built = processor(tmp_path)
    for entry in CERTAIN:
        assert built.encode(entry["prompt"]).ids.tolist() == entry["input_ids"]
    built_raw = processor(tmp_path, normalize=False)
    for entry in PLAIN:
        assert built_raw.encode(entry["prompt"]).ids.tolist() == entry["raw_input_ids"]


def test_a_folder_without_a_tokenizer_is_refused_with_the_files_it_needs(tmp_path: Path) -> None:
    shutil.copy(CHECKPOINT / "vocab.json", tmp_path)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json, or vocab\.json and merges\.txt"):
        processor(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_a_broken_tokenizer_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is not a tokenizer file"):
        processor(tmp_path)


def test_a_broken_vocabulary_is_named(tmp_path: Path) -> None:
    shutil.copy(CHECKPOINT / "merges.txt", tmp_path)
    (tmp_path / "vocab.json").write_text("{", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"vocab\.json and merges\.txt do not make"):
        processor(tmp_path)


def test_a_tokenizer_without_its_special_tokens_is_refused(tmp_path: Path) -> None:
    tokenizer = json.loads((CHECKPOINT / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["added_tokens"] = []
    del tokenizer["model"]["vocab"]["<pad>"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(TokenizerError, match="lacks <pad>"):
        processor(tmp_path)


def test_a_hashtag_is_split_by_the_list_and_stays_one_word_without_one(tmp_path: Path) -> None:
    prompt = "#redcat on a #bluetable"
    (tmp_path / "words.txt").write_text("red 9\ncat 8\nblue 7\ntable 6\n", encoding="utf-8")
    assert normalizer(tmp_path / "words.txt").normalize(prompt) == " red cat on a blue table"
    assert normalizer(None).normalize(prompt) == " redcat on a bluetable"


def test_the_word_list_is_read_only_for_a_hashtag(tmp_path: Path) -> None:
    missing = normalizer(tmp_path / "missing.txt")
    assert missing.normalize("a red cat") == " a red cat"
    with pytest.raises(FileNotFoundError):
        missing.normalize("#redcat")


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(), max_size=80))
def test_any_text_becomes_known_ids_between_begin_and_end(prompt: str) -> None:
    encoded = TEXT.encode(prompt)
    live = encoded.ids[: encoded.live_count]
    assert (live[0], live[-1]) == (0, 2)
    assert encoded.ids.max() < 599
    assert (encoded.ids[encoded.live_count :] == 1).all()
    assert encoded.mask.tolist() == [1] * encoded.live_count + [0] * (64 - encoded.live_count)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=80))
def test_normalized_text_starts_with_one_space_and_has_no_other_to_spare(prompt: str) -> None:
    text = normalizer(None).normalize(prompt)
    assert text.startswith(" ")
    assert text == " " + " ".join(text.split())
    assert text.isascii()
    assert text == text.lower()


TEXT = processor(vocab_size=599)
