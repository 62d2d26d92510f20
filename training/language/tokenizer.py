"""Step `tokenizer`: a byte-level BPE over the captions, in the files of a published checkpoint."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from training.language.captions import ExampleSource
from training.paths import work_file, write_json

VOCABULARY = 1536
CAPTIONS = 60_000
SEED = 11

_MASK = AddedToken("<mask>", lstrip=True, normalized=False, special=True)
_SPECIAL = [
    *(AddedToken(t, normalized=False, special=True) for t in ("<s>", "<pad>", "</s>", "<unk>")),
    _MASK,
]
_ROLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
}


def tokenizer_folder() -> Path:
    """Where the step leaves its files."""
    folder = work_file("tokenizer")
    folder.mkdir(exist_ok=True)
    return folder


def train(captions: Iterator[str]) -> Tokenizer:
    """A RoBERTa-style tokenizer without prefix space.

    `<s>` is 0, `<pad>` 1, `</s>` 2, `<unk>` 3, `<mask>` 4.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("</s>", 2), cls_token=("<s>", 0), add_prefix_space=False
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the five tokenizer files of a published checkpoint."""
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer.model.save(str(folder))
    mask = {
        "content": "<mask>",
        "single_word": False,
        "lstrip": True,
        "rstrip": False,
        "normalized": False,
    }
    write_json(folder / "special_tokens_map.json", {**_ROLES, "mask_token": mask})
    settings = {
        "errors": "replace",
        **_ROLES,
        "mask_token": "<mask>",
        "add_prefix_space": False,
        "trim_offsets": True,
        "model_max_length": 1024,
        "special_tokens_map_file": None,
        "tokenizer_class": "DalleBartTokenizer",
    }
    write_json(folder / "tokenizer_config.json", settings)


def load_tokenizer() -> Tokenizer:
    """What this step wrote."""
    return Tokenizer.from_file(str(tokenizer_folder() / "tokenizer.json"))


def as_normalized(caption: str) -> str:
    """What upstream's normaliser makes of these plain lower-case sentences: one leading space."""
    return f" {caption}"


def main() -> None:
    """Train on captions of the training stream and write training/work/tokenizer/."""
    examples = islice(ExampleSource(SEED), CAPTIONS)
    captions = [as_normalized(example.caption) for example in examples]
    tokenizer = train(iter(captions))
    save(tokenizer, tokenizer_folder())
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(captions[:4000])]
    print(f"{tokenizer.get_vocab_size()} entries; a caption has {sum(lengths) / len(lengths):.1f} "
          f"tokens on average, {max(lengths)} at most")  # fmt: skip


if __name__ == "__main__":
    main()
