"""The checkpoint that these tests damage."""

import shutil

import pytest
from support.goldens import VQGAN_FOLDER, model_folder


@pytest.fixture
def folder(tmp_path):
    """A writable copy of a small checkpoint, with tokenizer and VQGAN inside."""
    folder = tmp_path / "checkpoint"
    for source in (model_folder("mini-scan"), model_folder("variant-bias")):
        shutil.copytree(source, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    shutil.copytree(VQGAN_FOLDER, folder / "vqgan", copy_function=shutil.copyfile)
    return folder
