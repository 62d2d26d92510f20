"""Where the training steps read and write."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "training" / "work"
NOTICE = ROOT / "training" / "NOTICE"
CHECKPOINT = ROOT / "checkpoints" / "nano"
SENTENCES = ROOT / "test" / "fixtures" / "nano-sentences.json"


def work_file(name: str) -> Path:
    """Path of an intermediate file; the folder is made when it is missing."""
    WORK.mkdir(parents=True, exist_ok=True)
    return WORK / name


def write_json(path: Path, value: object) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
