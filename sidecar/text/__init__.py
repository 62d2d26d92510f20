"""Text of a prompt to token ids. Knows no JAX."""

from sidecar.text.hashtags import HashtagSplitter
from sidecar.text.normalizer import TextNormalizer
from sidecar.text.tokenizer import EncodedText, TextProcessor, TokenizerError

__all__ = ["EncodedText", "HashtagSplitter", "TextNormalizer", "TextProcessor", "TokenizerError"]
