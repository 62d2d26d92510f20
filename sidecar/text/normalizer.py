"""The text normaliser of DALL·E mini: a prompt becomes plain lower-case text, as in training.

Its output decides the token ids, so each step does what upstream's does, oddities included; what
those are is held by the goldens in test/fixtures/upstream/text.json.
"""

import html
import random
import re
from collections.abc import Callable

import emoji
import ftfy
from unidecode import unidecode

from sidecar.text.hashtags import HashtagSplitter

_PERSON_WORDS = ("a person", "someone", "somebody")
# No two neighbouring parts of a pattern match the same characters: a long prompt takes linear time.
_PEOPLE = re.compile(r"<person>(?:[,\s]*(?:(?:and)+[,\s]*)?<person>)+")
_WIKI_REFERENCE = re.compile(r"^\s*\[\d+\]|\[\d+\]\s*$")
_HTML_TAG = re.compile(r"<[^<]+?>")
_URL = re.compile(r"http\S+")
_NUMBER_COMMA = re.compile(r"(\d),(\d{3})")

# Signs that must survive the steps which turn punctuation into commas travel as these letters.
_DOT, _QUOTE, _SLASH = (f"xtokx{name}xtokx" for name in ("dot", "quote", "slash"))
# Both neighbours belong to the match: of "1.2.3" only the first dot is inside a word.
_DOT_IN_WORD = re.compile(r"(\w)\.(\w)")
_CONTRACTION = re.compile(r"'(?=(?:[stdm]|ll|re|ve)\b)")
_SLASH_IN_NUMBER = re.compile(r"(\d)/(\d)")

# Both neighbours belong to the match here too: of "jack-o-lantern" only the first hyphen matches.
_HYPHEN_IN_WORD = re.compile(r"(\w)-(\w)")
_STANDALONE_SIGN = re.compile(r"[*%&$]")
_HASHTAG = re.compile(r"#\w+")
_JOINING_SIGN = re.compile(r"[_#\\]")
_QUOTE_MARK = re.compile(r"[\"'`]")
_PUNCTUATION = re.compile(r"[-.!?:;()\[\]{}|=+~/]")
_REPEATED = re.compile(r"(\D)\1{3,}")
_QUOTES = re.compile(r"\"(?: ?\")+")
_COMMAS = re.compile(r" ?,(?: ?,)* ?")


class TextNormalizer:
    """Normalises prompts. Equal prompts give equal texts."""

    def __init__(self, splitter: HashtagSplitter) -> None:
        self._splitter = splitter
        self._steps: tuple[Callable[[str], str], ...] = (
            ftfy.fix_text,
            _unescape_html,
            emoji.demojize,
            unidecode,
            str.lower,
            _name_persons,
            _drop_wiki_references,
            _drop_html_tags,
            _drop_urls,
            _join_grouped_digits,
            _protect_signs,
            _space_special_characters,
            self._split_hashtags,
            _drop_joining_signs,
            _unify_quote_marks,
            _turn_punctuation_into_commas,
            _restore_signs,
            _shorten_repeats,
            _merge_spaces,
            _merge_quotes_and_commas,
            _trim,
        )

    def normalize(self, prompt: str) -> str:
        """The normalised text: always one space first, and nothing but that space for no words."""
        text = prompt
        for step in self._steps:
            text = step(text)
        return text

    def _split_hashtags(self, text: str) -> str:
        return _HASHTAG.sub(lambda tag: self._splitter.split(tag[0][1:]), text)


def _unescape_html(text: str) -> str:
    """Twice, for captions from the web are often escaped twice: &amp;amp; -> &."""
    return html.unescape(html.unescape(text))


def _name_persons(text: str) -> str:
    """Replaces the <person> token of a training set: several become "people".

    Upstream picks the word for a single one at random. Here the text decides, so that a prompt
    has one meaning.
    """
    text = _PEOPLE.sub(" people ", text)
    choice = random.Random(text)
    return re.sub("<person>", lambda _: f" {choice.choice(_PERSON_WORDS)} ", text)


def _drop_wiki_references(text: str) -> str:
    return _WIKI_REFERENCE.sub("", text)


def _drop_html_tags(text: str) -> str:
    return _HTML_TAG.sub(" ", text)


def _drop_urls(text: str) -> str:
    return _URL.sub(" ", text)


def _join_grouped_digits(text: str) -> str:
    """1,000,000 -> 1000000. In exactly two passes: the digits belong to the match."""
    return _NUMBER_COMMA.sub(r"\1\2", _NUMBER_COMMA.sub(r"\1\2", text))


def _protect_signs(text: str) -> str:
    """Hides dots inside words and numbers, apostrophes of contractions, slashes of dates."""
    text = _DOT_IN_WORD.sub(rf"\1{_DOT}\2", text)
    text = _CONTRACTION.sub(_QUOTE, text)
    return _SLASH_IN_NUMBER.sub(rf"\1{_SLASH}\2", text)


def _space_special_characters(text: str) -> str:
    """red-brick -> red brick, 5*4 -> 5 * 4."""
    text = _HYPHEN_IN_WORD.sub(r"\1 \2", text)
    return _STANDALONE_SIGN.sub(r" \g<0> ", text)


def _drop_joining_signs(text: str) -> str:
    return _JOINING_SIGN.sub(" ", text)


def _unify_quote_marks(text: str) -> str:
    return _QUOTE_MARK.sub(' " ', text)


def _turn_punctuation_into_commas(text: str) -> str:
    return _PUNCTUATION.sub(",", text)


def _restore_signs(text: str) -> str:
    return text.replace(_DOT, ".").replace(_QUOTE, "'").replace(_SLASH, "/")


def _shorten_repeats(text: str) -> str:
    """Four or more of the same become one, digits excepted: sooooo -> so, 1111 stays."""
    return _REPEATED.sub(r"\1", text)


def _merge_spaces(text: str) -> str:
    return " ".join(text.split())


def _merge_quotes_and_commas(text: str) -> str:
    return _COMMAS.sub(", ", _QUOTES.sub('"', text))


def _trim(text: str) -> str:
    """No comma or space at either end, one space in front."""
    return " " + text.strip(" ,")
