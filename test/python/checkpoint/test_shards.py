"""Weights in shards: the same parameters as from one file, and what is refused in which words."""

import json
import os
import shutil

import jax
import numpy as np
import pytest
from support.damage import edit_leaf, spoil
from support.goldens import UPSTREAM
from support.refusal import assert_refused, load
from support.sharding import INDEX, WEIGHTS, cut_into_shards, read_index, shard_name, write_index

from sidecar.checkpoint.folder import open_checkpoint
from sidecar.checkpoint.msgpack_index import index_leaves
from sidecar.checkpoint.shards import index_weights
from sidecar.checkpoint.weight_files import find_weight_files, has_all_weights

LIMIT = 30_000
CASES = json.loads((UPSTREAM.parent / "weight-files.json").read_text())
NAMES = [case["name"] for case in CASES]


@pytest.fixture
def shards(folder):
    """The folder's weights, cut."""
    return cut_into_shards(folder, LIMIT)


@pytest.fixture
def leaf(shards):
    """The name of a weight in the second shard."""
    return max("/".join(leaf) for leaf in index_leaves(shards[1]))


def assert_equal(weights, others):
    ours, theirs = ((one.params, one.vqgan_params) for one in (weights, others))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_holds_the_weights_is_what_the_server_says_too(tmp_path, case):
    for name, content in case["files"].items():
        (tmp_path / name).write_text(content, "utf-8")
    assert has_all_weights(tmp_path) == (case["weights"] is not None)
    if case["weights"] is not None:
        found = find_weight_files(tmp_path)
        assert found is not None
        assert [path.name for path in found.paths] == case["weights"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("limit", [1, 10_000, LIMIT])
def test_shards_hold_the_parameters_of_the_one_file(folder, limit, dtype):
    whole = load(folder, dtype)
    assert len(cut_into_shards(folder, limit)) > 2
    assert_equal(load(folder, dtype), whole)


def test_a_vqgan_in_shards_holds_the_parameters_of_the_one_file(folder):
    whole = load(folder)
    assert len(cut_into_shards(folder / "vqgan", 200_000)) > 2
    assert_equal(load(folder), whole)


def test_a_first_shard_that_is_empty_and_not_in_the_index_is_read_over(folder):
    whole = load(folder)
    first, *_ = cut_into_shards(folder, 1)
    assert first.read_bytes() == b"\x80"
    assert first.name not in read_index(folder).values()
    assert_equal(load(folder), whole)


def test_shards_of_an_earlier_save_are_left_alone(folder, shards):
    expected = load(folder)
    (folder / shard_name(1, 99)).write_bytes(shards[0].read_bytes())
    assert load(folder).digest == expected.digest


def test_the_one_file_goes_before_an_index(folder):
    kept = (folder / WEIGHTS).read_bytes()
    whole = load(folder)
    for path in cut_into_shards(folder, LIMIT):
        path.unlink()
    (folder / WEIGHTS).write_bytes(kept)
    assert load(folder).digest == whole.digest


def test_the_content_hash_is_of_every_shard_and_stable(folder, shards):
    digests = {load(folder).digest, load(folder).digest}
    places = read_index(folder)
    for shard in set(places.values()):
        edit_leaf(folder, min(leaf for leaf in places if places[leaf] == shard), np.negative, shard)
        digests.add(load(folder).digest)
    assert len(shards) > 2
    assert len(digests) == 1 + len(set(places.values()))


def test_a_missing_shard(folder, shards):
    shards[1].unlink()
    first = min(leaf for leaf, name in read_index(folder).items() if name == shards[1].name)
    assert_refused(folder, f"{shards[1]}: no such file", first)


def test_a_shard_cut_short(folder, shards):
    shards[1].write_bytes(shards[1].read_bytes()[:-1])
    assert_refused(folder, f"{shards[1]}: ", "cut short")


def test_a_shard_that_is_a_git_lfs_pointer(folder, shards):
    shards[-1].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert_refused(folder, f"{shards[-1]}: a Git LFS pointer, not the file itself")


def test_a_shard_of_the_same_save_that_the_index_does_not_name(folder, shards):
    lost = shards[-1]
    write_index(
        folder, {leaf: name for leaf, name in read_index(folder).items() if name != lost.name}
    )
    leaf = "/".join(next(iter(index_leaves(lost))))
    assert_refused(folder, f"{lost}: {leaf} is in this shard, which {INDEX} does not name")


def test_a_weight_that_is_not_in_its_shard(folder, shards, leaf):
    edit_leaf(folder, leaf, lambda _: None, shards[1].name)
    assert_refused(folder, f"{shards[1]}: {leaf} is missing, {INDEX} says that it is in this file")


def test_a_weight_that_the_index_does_not_name(folder, shards, leaf):
    places = read_index(folder)
    del places[leaf]
    write_index(folder, places)
    assert_refused(folder, f"{shards[1]}: {leaf} is not among the weights that {INDEX} names")


def test_a_weight_in_two_shards(folder, shards, leaf):
    edit_leaf(folder, leaf, lambda _: np.zeros(1, np.float32), shards[2].name)
    assert_refused(folder, f"{shards[2]}: {leaf} is there twice, in {shards[1].name} too")


def test_a_weight_that_is_in_no_shard(folder, shards, leaf):
    edit_leaf(folder, leaf, lambda _: None, shards[1].name)
    places = read_index(folder)
    del places[leaf]
    write_index(folder, places)
    assert_refused(folder, f"{folder / INDEX}: {leaf} is missing")


def test_a_number_that_is_none_names_its_shard(folder, shards, leaf):
    edit_leaf(folder, leaf, spoil, shards[1].name)
    assert_refused(folder, f"{shards[1]}: {leaf} holds NaN or infinity")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "[" * 100_000, "\x00", "{}", '{"weight_map": 1}']
)
@pytest.mark.parametrize("read", [index_weights, open_checkpoint])
def test_an_index_that_is_none(folder, shards, content, read):
    (folder / INDEX).write_text(content)
    assert_refused(folder, f"{folder / INDEX}: ", read=read)


def test_an_index_without_an_end(folder, shards):
    os.truncate(folder / INDEX, 1 << 40)
    assert_refused(folder, f"{folder / INDEX}: an index of {1 << 40} bytes")


@pytest.mark.parametrize(
    "place",
    [
        *("../{}", "/tmp/{}", "sub/{}", "..\\{}", "{}\n"),
        *(".", "..", "", "config.json", 1, None, "a" * 2000),
    ],
)  # fmt: skip
def test_a_place_outside_the_folder_or_of_another_kind_is_never_opened(folder, shards, leaf, place):
    name = shards[1].name
    # What a way out of the folder would find.
    shutil.copyfile(shards[1], folder.parent / name)
    places = read_index(folder)
    places[leaf] = place.format(name) if isinstance(place, str) else place
    write_index(folder, places)
    assert_refused(
        folder, f"{folder / INDEX}: '{leaf}' is said to be in", "expected a file of this folder"
    )


@pytest.mark.parametrize("name", ["a\nb", "a" * 257, "\x1b[2J"])
def test_a_name_of_a_weight_that_cannot_be_shown(folder, shards, name):
    write_index(folder, {**read_index(folder), name: shards[1].name})
    assert_refused(folder, f"{folder / INDEX}: ", "is not the name of a weight")


def test_shards_without_their_index_say_what_is_missing(folder, shards):
    (folder / INDEX).unlink()
    assert_refused(folder, f"{folder / INDEX}: no such file", code="checkpoint_not_found")
