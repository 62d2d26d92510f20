"""From a prompt to the token ids and the mask that the text encoder reads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing

from sidecar.text.hashtags import HashtagSplitter
from sidecar.text.normalizer import TextNormalizer

# Mini's tokenizer has one token more than its table has rows.
MOST_IDS_WITHOUT_ROW = 1

_BEGIN, _PAD, _END, _UNKNOWN, _MASK = "<s>", "<pad>", "</s>", "<unk>", "<mask>"


class TokenizerError(ValueError):
    """A checkpoint folder without a usable tokenizer; the message names the files."""


@dataclass(frozen=True)
class EncodedText:
    """Token ids, padded to the encoder's length, and which of them are live.

    `live_count` counts the ones in `mask`, the begin and end tokens among them.
    """

    ids: Int32[np.ndarray, "max_length"]
    mask: Int32[np.ndarray, "max_length"]
    live_count: int


class TextProcessor:
    """A checkpoint's normaliser and tokenizer."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        normalizer: TextNormalizer | None,
        *,
        vocab_size: int,
        unknown_id: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._normalizer = normalizer
        self._vocab_size = vocab_size
        self._unknown_id = np.int32(unknown_id)

    @classmethod
    def from_checkpoint(
        cls, folder: Path, *, max_length: int, vocab_size: int, normalize: bool
    ) -> "TextProcessor":
        """Read the tokenizer of a checkpoint folder.

        Args:
            folder: holds `tokenizer.json`, or `vocab.json` and `merges.txt`; may hold the word
                list that hashtags are split with.
            max_length: the encoder's number of positions; longer prompts are cut, and keep their
                end token.
            vocab_size: rows of the encoder's embedding table. An id at or above it has no row and
                becomes `<unk>`: mini's tokenizer has one token more than its table has rows.
            normalize: whether prompts pass the normaliser, as the checkpoint's config says.

        Raises:
            TokenizerError: the files are missing, unreadable or lack a special token.
        """
        tokenizer = _read_tokenizer(folder)
        _check_ids(folder, tokenizer, vocab_size)
        pad_id = _id_of(tokenizer, _PAD, folder)
        # The published files say nothing of the length, and one of a user's may say another.
        tokenizer.enable_truncation(max_length)
        tokenizer.enable_padding(length=max_length, pad_id=pad_id, pad_token=_PAD)
        # A prompt is text: "</s>" typed by a user is four characters, not the end of the prompt.
        tokenizer.encode_special_tokens = True
        normalizer = TextNormalizer(HashtagSplitter.from_checkpoint(folder)) if normalize else None
        unknown_id = _id_of(tokenizer, _UNKNOWN, folder)
        return cls(tokenizer, normalizer, vocab_size=vocab_size, unknown_id=unknown_id)

    def encode(self, prompt: str) -> EncodedText:
        """Encode one prompt: any well-formed string, the empty one included."""
        return self._encode_text(self._normalizer.normalize(prompt) if self._normalizer else prompt)

    def unconditional(self) -> EncodedText:
        """The row of no prompt at all, which guidance steers away from.

        It is not `encode("")`: the normaliser makes one space, a token, of an empty prompt.
        """
        return self._encode_text("")

    def _encode_text(self, text: str) -> EncodedText:
        encoding = self._tokenizer.encode(text)
        ids = np.asarray(encoding.ids, dtype=np.int32)
        mask = np.asarray(encoding.attention_mask, dtype=np.int32)
        known_ids = np.where(ids < self._vocab_size, ids, self._unknown_id)
        return EncodedText(known_ids, mask, int(mask.sum()))


def _read_tokenizer(folder: Path) -> Tokenizer:
    complete, vocab, merges = (
        folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt")
    )
    if complete.is_file():
        return _read_complete(complete)
    if vocab.is_file() and merges.is_file():
        return _build_from_vocabulary(vocab, merges)
    raise TokenizerError(
        f"{folder} has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt. "
        "Copy them from where the checkpoint came from."
    )


def _check_ids(folder: Path, tokenizer: Tokenizer, rows: int) -> None:
    """Refuse a tokenizer of another checkpoint, where that shows."""
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= rows + MOST_IDS_WITHOUT_ROW:
        raise TokenizerError(
            f"{folder}: the tokenizer has ids up to {largest}, but model/encoder/embed_tokens has "
            f"{rows} rows: take tokenizer and weights from the same checkpoint"
        )


def _id_of(tokenizer: Tokenizer, token: str, folder: Path) -> int:
    token_id = tokenizer.token_to_id(token)
    if token_id is None:
        raise TokenizerError(
            f"{folder}: its tokenizer lacks {token}: it was not made for this kind of model"
        )
    return token_id


def _read_complete(file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing finer
        raise TokenizerError(f"{file} is not a tokenizer file: {error}") from error


def _build_from_vocabulary(vocab: Path, merges: Path) -> Tokenizer:
    """The tokenizer that `tokenizer.json` of the published checkpoints describes, put together."""
    try:
        tokenizer = Tokenizer(BPE.from_file(str(vocab), str(merges)))
    except Exception as error:  # the library raises nothing finer
        raise TokenizerError(
            f"{vocab} and {merges.name} do not make a tokenizer: {error}"
        ) from error
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([_BEGIN, _PAD, _END, _UNKNOWN, AddedToken(_MASK, lstrip=True)])
    end = (_END, _id_of(tokenizer, _END, vocab.parent))
    begin = (_BEGIN, _id_of(tokenizer, _BEGIN, vocab.parent))
    tokenizer.post_processor = RobertaProcessing(end, begin, add_prefix_space=False)
    return tokenizer
