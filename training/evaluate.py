"""Step `evaluate`: sample the test sentences with the product's engine and judge the pixels.

Writes a contact sheet, prints a table, and records the shares for the model card. `--sweep` compares sampling
settings instead, on a smaller set.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from sidecar.checkpoint import load_weights, open_checkpoint
from sidecar.config import SamplingSettings
from sidecar.engine import Engine, EngineTask
from sidecar.text import TextProcessor
from training.captions import Example, ExampleSource
from training.paths import CHECKPOINT, ROOT, SENTENCES, work_file
from training.scenes import COLOURS, scenes_of
from training.sentences import sentence_json
from training.tokenizer import write_json

SLOTS = 8
SEEN_SEED = 51

Pixels = UInt8[np.ndarray, "side side 3"]
Sentence = Mapping[str, object]


def load_judge() -> ModuleType:
    """The tests' own pixel check; it lies outside the packages so that it cannot lean on this code."""
    sys.path.insert(0, str(ROOT / "test" / "python"))
    return importlib.import_module("scene_check")


class Painter:
    """A checkpoint in the product's engine."""

    def __init__(self, folder: Path) -> None:
        found = open_checkpoint(folder)
        self.defaults = found.sampling
        self._text = TextProcessor.from_checkpoint(
            folder,
            max_length=found.config.max_text_length,
            vocab_size=found.config.encoder_vocab_size,
            normalize=found.config.normalize_text,
        )
        empty = self._text.unconditional()
        dtype = jnp.dtype("float32")
        self._engine = Engine(
            found,
            load_weights(found, dtype),
            (empty.ids, empty.mask),
            slots=SLOTS,
            chunk_tokens=64,
            dtype=dtype,
        )

    def paint(self, texts: list[str], settings: SamplingSettings, seed: int) -> list[Pixels]:
        """One picture a text, in order."""
        done: dict[str, Pixels] = {}
        waiting = list(enumerate(texts))
        while len(done) < len(texts):
            while waiting and self._engine.free_slots:
                number, text = waiting.pop(0)
                encoded = self._text.encode(text)
                self._engine.admit(
                    EngineTask(str(number), encoded.ids, encoded.mask, seed + number, settings)
                )
            for picture in self._engine.step():
                done[picture.task_id] = picture.pixels
        return [done[str(number)] for number in range(len(texts))]


@dataclass(frozen=True)
class Judged:
    """A picture with its sentence and what it got right."""

    text: str
    picture: Pixels
    right: Mapping[str, bool]


class Examiner:
    """Paints sentences and judges the pictures."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._judge = load_judge()

    def examine(
        self, sentences: list[Sentence], settings: SamplingSettings, seed: int
    ) -> list[Judged]:
        """One judged picture a sentence."""
        texts = [str(sentence["text"]) for sentence in sentences]
        pictures = self._painter.paint(texts, settings, seed)
        results: list[Judged] = []
        for sentence, picture in zip(sentences, pictures, strict=True):
            allowed = self._judge.read_sentence(sentence)
            verdict = self._judge.judge_best(picture, allowed, COLOURS)
            parts = ("background", "colours", "positions", "follows", "shapes")
            right = {part: bool(getattr(verdict, part)) for part in parts}
            results.append(Judged(str(sentence["text"]), picture, right))
        return results


def shares(judged: Iterable[Judged]) -> dict[str, float]:
    """Share of pictures right, by what was looked at."""
    rows = [result.right for result in judged]
    return {part: float(np.mean([row[part] for row in rows])) for part in rows[0]}


def table_line(name: str, values: Mapping[str, float]) -> str:
    """One line of the printed table."""
    return f"{name:34s}" + "  ".join(f"{part} {share:4.0%}" for part, share in values.items())


def contact_sheet(judged: list[Judged], columns: int = 5) -> Image.Image:
    """The pictures with their sentences; a red line under those that do not follow."""
    side, caption = 128, 30
    rows = -(-len(judged) // columns)
    sheet = Image.new("RGB", (columns * (side + 12), rows * (side + caption + 12)), "white")
    pen = ImageDraw.Draw(sheet)
    for index, result in enumerate(judged):
        left, top = (
            (index % columns) * (side + 12) + 6,
            (index // columns) * (side + caption + 12) + 6,
        )
        sheet.paste(Image.fromarray(result.picture), (left, top))
        ink = "black" if result.right["follows"] and result.right["shapes"] else "red"
        words = result.text
        for line in range(3):
            pen.text((left, top + side + 1 + 10 * line), words[:22], fill=ink, font_size=10)
            words = words[22:]
    return sheet


def held_out_sentences() -> list[Sentence]:
    """The test sentences of the fixture."""
    return json.loads(SENTENCES.read_text("utf-8"))["sentences"]


def seen_sentences(count: int) -> list[Sentence]:
    """Fresh sentences of the kind that training shows (no bare backgrounds)."""
    examples = (example for example in ExampleSource(SEEN_SEED) if example.scene.things)
    return [_allowed(example) for example in islice(examples, count)]


def _allowed(example: Example) -> Sentence:
    (thing,) = example.scene.things
    scenes = scenes_of(
        example.scene.background, thing.shape, thing.colour, example.where, example.size
    )
    return sentence_json(example.caption, scenes)


def sweep(examiner: Examiner, rounds: int) -> None:
    """Print a table of sampling settings over the held-out sentences."""
    sentences = held_out_sentences()
    for scale in (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0):
        for top_k, top_p in ((50, 1.0), (50, 0.9)):
            settings = SamplingSettings(cond_scale=scale, temperature=1.0, top_k=top_k, top_p=top_p)
            judged = [
                result
                for round_ in range(rounds)
                for result in examiner.examine(sentences, settings, 1000 * round_)
            ]
            print(table_line(f"scale {scale} k {top_k} p {top_p}", shares(judged)), flush=True)


def evaluate(examiner: Examiner, settings: SamplingSettings, rounds: int) -> None:
    """Print the table for held-out and for seen sentences; write the sheet and evaluation.json."""
    sentences = held_out_sentences()
    judged = [r for n in range(rounds) for r in examiner.examine(sentences, settings, 1000 * n)]
    for text in dict.fromkeys(result.text for result in judged):
        print(table_line(text[:33], shares(r for r in judged if r.text == text)))
    held_out = shares(judged)
    print(table_line(f"held out ({len(judged)} pictures)", held_out))
    seen = examiner.examine(seen_sentences(40), settings, 7)
    print(table_line(f"seen kinds ({len(seen)} pictures)", shares(seen)))
    contact_sheet(judged[: len(sentences)]).save(work_file("evaluation.png"))
    contact_sheet(seen[:40], 8).save(work_file("seen.png"))
    described = (f"condition scale {settings.cond_scale}, temperature {settings.temperature}, "
                 f"top-k {settings.top_k}, top-p {settings.top_p}")  # fmt: skip
    record = {
        "pictures": len(judged),
        "sentences": len(sentences),
        "settings": described,
        "shares": held_out,
    }
    write_json(work_file("evaluation.json"), record)


def main() -> None:
    """Parse the step's options, then evaluate or sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=CHECKPOINT)
    parser.add_argument("--rounds", type=int, default=5, help="pictures a sentence")
    parser.add_argument("--sweep", action="store_true")
    options = parser.parse_args()
    painter = Painter(options.folder)
    examiner = Examiner(painter)
    if options.sweep:
        sweep(examiner, options.rounds)
    else:
        evaluate(examiner, painter.defaults, options.rounds)


if __name__ == "__main__":
    main()
