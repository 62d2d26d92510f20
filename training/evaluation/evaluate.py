"""Step `evaluate`: how many of its pictures Nano gets right, by judges that never saw one of them.

Icons and compositions are judged by `judge`'s classifier and by the nearest source picture,
sentences about shapes by the tests' own pixel check. Sampling is the checkpoint's own; one picture
a sentence. `--sweep` compares sampling settings instead. `--true` judges the source pictures: the
most that can be reached.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sidecar.wire.messages import SamplingSettings
from training.evaluation.contact_sheet import contact_sheet
from training.evaluation.examiner import Verdict, examine
from training.evaluation.judge import Judge
from training.evaluation.painter import Painter, Pixels
from training.language.questions import Question, cells_of, compositions, held_out_phrasings, in_set
from training.paths import CHECKPOINT, SENTENCES, work_file, write_json
from training.steps.model_card import Evaluation
from training.world.scenes import ANCHORS, COLOURS, Scene, draw, place

# The pixel check belongs to the tests and must know nothing of how the pictures were made. Their
# folder is on the path of pytest and pyright; a command needs it in its environment.
try:
    from support.scene_check import judge_best, read_sentence
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "support.scene_check is in test/python: run this with PYTHONPATH=test/python"
    ) from error

COUNT = 200
SWEEP_COUNT = 60
SEED = 5000

Shares = dict[str, float]


def question_sets(count: int) -> dict[str, list[Question]]:
    """What is asked, by the name of its row."""
    return {
        "in-set captions": in_set(count),
        "held-out phrasings": held_out_phrasings(count),
        "held-out compositions": compositions(count),
    }


def shares(verdicts: Sequence[Verdict]) -> Shares:
    """Share of the verdicts that are right, by aspect; without those that were never asked for."""
    found: Shares = {}
    for aspect in ("object", "nearest", "colour", "relation", "all"):
        values = [getattr(verdict, aspect) for verdict in verdicts]
        asked = [value for value in values if value is not None]
        if asked:
            found[aspect] = float(np.mean(asked))
    return found


def table_line(name: str, values: Mapping[str, float]) -> str:
    """One line of the printed table."""
    return f"{name:32s}" + "  ".join(f"{part} {share:4.0%}" for part, share in values.items())


def true_image(question: Question) -> Pixels:
    """The source picture that a question asks for."""
    cells = cells_of(question)
    centers = question.layouts[0] if question.layouts else (ANCHORS["center"],)
    pairs = zip(question.icons, centers, strict=True)
    things = tuple(place(icon, None, cells, center) for icon, center in pairs)
    return draw(Scene(question.background or "white", things))


def examine_all(judge: Judge, questions: list[Question], images: list[Pixels]) -> list[Verdict]:
    """One verdict a question."""
    return [examine(judge, q, image) for q, image in zip(questions, images, strict=True)]


def examine_shapes(painter: Painter, settings: SamplingSettings, rounds: int) -> Shares:
    """Shares over the test sentences: all have a pair of shape and colour never trained on."""
    sentences = json.loads(SENTENCES.read_text("utf-8"))["sentences"] * rounds
    images = painter.paint([sentence["text"] for sentence in sentences], settings, SEED)
    verdicts = [
        judge_best(image, read_sentence(sentence), COLOURS)
        for sentence, image in zip(sentences, images, strict=True)
    ]
    aspects = ("background", "colours", "positions", "follows", "shapes")
    return {a: float(np.mean([getattr(verdict, a) for verdict in verdicts])) for a in aspects}


def evaluate(
    painter: Painter | None, settings: SamplingSettings | None, count: int
) -> dict[str, Shares]:
    """Print the tables and write contact sheets; without a painter, of the source pictures."""
    judge, table = Judge(), {}
    for name, questions in question_sets(count).items():
        if painter is None or settings is None:
            images = [true_image(question) for question in questions]
        else:
            images = painter.paint([question.text for question in questions], settings, SEED)
        verdicts = examine_all(judge, questions, images)
        table[name] = shares(verdicts)
        print(table_line(name, table[name]), flush=True)
        right = [verdict.all for verdict in verdicts]
        sheet = contact_sheet([question.text for question in questions], images, right)
        sheet.save(work_file(f"{name.replace(' ', '-')}.png"))
    if painter is not None and settings is not None:
        table["shapes"] = examine_shapes(painter, settings, 3)
        print(table_line("shapes (60 pictures)", table["shapes"]))
    return table


def sweep(painter: Painter) -> None:
    """Print a line of the main table for each of several sampling settings."""
    for temperature in (0.4, 0.5, 0.6, 0.8, 1.0):
        for scale in (1.0, 1.25, 1.5, 2.0):
            print(f"temperature {temperature}, condition scale {scale}")
            settings = SamplingSettings(
                cond_scale=scale, temperature=temperature, top_k=50, top_p=1.0
            )
            evaluate(painter, settings, SWEEP_COUNT)


def main() -> None:
    """Parse the step's options, then evaluate or sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=CHECKPOINT)
    parser.add_argument("--count", type=int, default=COUNT, help="sentences a row")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--true", action="store_true")
    options = parser.parse_args()
    if options.true:
        evaluate(None, None, options.count)
        return
    painter = Painter(options.folder)
    if options.sweep:
        sweep(painter)
        return
    settings = painter.defaults
    table = evaluate(painter, settings, options.count)
    described = (f"condition scale {settings.cond_scale}, temperature {settings.temperature}, "
                 f"top-k {settings.top_k}, top-p {settings.top_p}")  # fmt: skip
    record = Evaluation(count=options.count, settings=described, table=table)
    write_json(work_file("evaluation.json"), record)


if __name__ == "__main__":
    main()
