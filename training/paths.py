"""Where the training steps read and write."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "training" / "work"
CHECKPOINT = ROOT / "checkpoints" / "nano"
SENTENCES = ROOT / "test" / "fixtures" / "nano-sentences.json"


def work_file(name: str) -> Path:
    """Path of an intermediate file; the folder is made when it is missing."""
    WORK.mkdir(parents=True, exist_ok=True)
    return WORK / name
