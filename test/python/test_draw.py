"""The command that draws by hand: what it writes, and what it says when it cannot."""

import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPO_ROOT
from PIL import Image
from support.goldens import VQGAN_FOLDER, golden, model_folder

from sidecar.draw import encode_png, main

MODEL = str(model_folder("mini-scan"))


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_png_holds_the_pixels_it_was_made_of():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    np.testing.assert_array_equal(read(io.BytesIO(encode_png(pixels))), pixels)


def test_nano_draws_images_of_consecutive_seeds_into_numbered_files(tmp_path):
    command = [sys.executable, "-m", "sidecar.draw", "a red circle", "--seed", "7"]
    command += ["--checkpoint", "checkpoints/nano", "--count", "2", "-o", str(tmp_path / "a.png")]
    drawn = subprocess.run(command, cwd=REPO_ROOT, capture_output=True, text=True, check=True)
    assert "a-1.png: seed 7," in drawn.stdout
    assert "a-2.png: seed 8," in drawn.stdout
    first, second = read(tmp_path / "a-1.png"), read(tmp_path / "a-2.png")
    assert first.shape == second.shape == (128, 128, 3)
    assert not np.array_equal(first, second)


def test_the_settings_reach_the_engine_and_the_pixels_are_upstreams(tmp_path):
    want = golden("mini-scan")["e2e_pixels"][0]
    file = tmp_path / "cat.png"
    places = ["--checkpoint", MODEL, "--vqgan", str(VQGAN_FOLDER), "-o", str(file)]
    assert main(["A cat sitting on a beach", "--top_k", "1", *places]) == 0
    assert np.abs(read(file).astype(int) - np.asarray(want)).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cond_scale", "-1"], "cond_scale is -1.0, expected 0.0 to 100.0"),
        (["--count", "0"], "--count is 0"),
        (["--seed", "4294967296"], "--seed is 4294967296"),
        (["-o", "cat.jpg"], "expected a .png file"),
        (["-o", "/nowhere/cat.png"], "in a folder that exists"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_loaded(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        main(["a cat", "--checkpoint", MODEL, "-o", "cat.png", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_a_sentence_and_not_a_traceback(capsys, tmp_path):
    code = main(["a cat", "--checkpoint", "/nowhere", "-o", str(tmp_path / "cat.png")])
    assert code == 3
    error = capsys.readouterr().err
    assert error.startswith("checkpoint_not_found: /nowhere/config.json")
    assert "Traceback" not in error
