"""Draws images by hand, with the engine that the server uses and without a server.

    python -m sidecar.draw "a cat" --checkpoint checkpoints/nano -o cat.png

Exit codes: 0 drawn, 1 worth another try, 2 wrong arguments, 3 not without a change.
"""

import argparse
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sidecar import exit_codes
from sidecar.checkpoint.sampling_defaults import find_misfit
from sidecar.wire.messages import SamplingSettings

MAX_SLOTS = 8
CHUNK_TOKENS = 64


def main(arguments: list[str]) -> int:
    """Draw what the arguments ask for; returns the exit code."""
    options, sampling = _read_arguments(arguments)
    # Imported after the arguments are known to be right: it takes a while.
    from sidecar.failure import classify

    try:
        _draw(options, sampling)
    except Exception as error:
        code, retryable = classify(error)
        if code == "engine_error" and not isinstance(error, OSError):
            raise
        sys.stderr.write(f"{code}: {error}\n")
        return exit_codes.CRASHED if retryable else exit_codes.PERMANENT
    return 0


def _draw(options: argparse.Namespace, sampling: SamplingSettings) -> None:
    from sidecar.loading import find_folders, load_checkpoint

    folder, vqgan_folder = find_folders(
        options.checkpoint, options.vqgan, lambda _done, _total: None
    )
    slots = min(options.count, MAX_SLOTS)
    checkpoint = load_checkpoint(folder, vqgan_folder, precision=options.precision, slots=slots)
    engine = checkpoint.create_engine(slots=slots, chunk_tokens=CHUNK_TOKENS)
    seeds = [(options.seed + index) % 2**32 for index in range(options.count)]
    requests = [
        checkpoint.create_request(str(index), options.prompt, seed, sampling)
        for index, seed in enumerate(seeds)
    ]
    started = time.monotonic()
    for image in engine.draw_all(requests):
        index = int(image.task_id)
        path = options.output
        if options.count > 1:
            path = path.with_stem(f"{path.stem}-{index + 1}")
        path.write_bytes(encode_png(image.pixels))
        seconds = time.monotonic() - started
        sys.stdout.write(f"{path}: seed {seeds[index]}, after {seconds:.1f} s\n")


def encode_png(pixels: UInt8[np.ndarray, "I J 3"]) -> bytes:
    """An 8-bit RGB image as a PNG file."""
    height, width, _ = pixels.shape
    # Each row starts with the number of its filter: 0, none.
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    ]
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        checksum = zlib.crc32(kind + body)
        file += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return file


def _read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, SamplingSettings]:
    """Read and check the arguments; exits with code 2 and a usage line when one is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m sidecar.draw", description="Draw images without a server."
    )
    parser.add_argument("prompt")
    parser.add_argument(
        "--checkpoint",
        default=str(Path(__file__).parents[1] / "checkpoints" / "nano"),
        help="a folder, or hf:owner/name[@revision]; default: the embedded Nano",
    )
    parser.add_argument("--vqgan", help="the same; default: in the checkpoint or beside it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a PNG file")
    parser.add_argument("--count", type=int, default=1, help="1 writes cat.png, 2 cat-1.png...")
    parser.add_argument("--seed", type=int, default=0, help="of the first image; the next has +1")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    for name in ("cond_scale", "temperature", "top_k", "top_p"):
        kind = int if name == "top_k" else float
        parser.add_argument(f"--{name}", type=kind, help="default: the checkpoint's own value")
    options = parser.parse_args(arguments)
    # Bytes that are not UTF-8 become U+FFFD, as in a request.
    options.prompt = options.prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    sampling = SamplingSettings(
        options.cond_scale, options.temperature, options.top_k, options.top_p
    )
    wrong = find_misfit(sampling)
    if options.output.suffix.lower() != ".png" or not options.output.parent.is_dir():
        wrong = f"--output is {options.output}, expected a .png file in a folder that exists"
    elif options.count < 1:
        wrong = f"--count is {options.count}, expected at least 1"
    elif not 0 <= options.seed < 2**32:
        wrong = f"--seed is {options.seed}, expected 0 to {2**32 - 1}"
    if wrong is not None:
        parser.error(wrong)
    return options, sampling


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
