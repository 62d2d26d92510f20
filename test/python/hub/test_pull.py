"""Fetching from a hub on this machine, with the real huggingface_hub in a process of its own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import REPO_ROOT, UPSTREAM
from support.sharding import INDEX, WEIGHTS, cut_into_shards, read_index, write_index

MODEL = "tiny/mini"
VQGAN = "tiny/vqgan"
COMMIT = "c0ffee" + "0" * 34
PINNED = {"model": f"hf:{MODEL}@{COMMIT}", "vqgan": f"hf:{VQGAN}@{COMMIT}"}
FETCHED = {
    "config.json",
    WEIGHTS,
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer_config.json",
}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Hub:
    """A running fake_hub.py and what it was asked."""

    def __init__(self, folder, faults):
        program = REPO_ROOT / "test" / "fixtures" / "fake_hub.py"
        self.process = subprocess.Popen(
            [sys.executable, program, "--folder", folder, "--faults", json.dumps(faults)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.requests = None
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"

    def stop(self):
        """End it; returns its requests."""
        if self.requests is None:
            self.process.kill()
            output, _ = self.process.communicate()
            self.requests = [json.loads(line) for line in output.splitlines()]
        return self.requests

    def downloads(self, name=WEIGHTS):
        """From which byte a file of the model's weights was asked for, in order; ends the hub."""
        ranges = [
            request["range"] or "bytes=0-"
            for request in self.stop()
            if (request["method"], request["path"]) == ("GET", f"/lfs/{MODEL}/{name}")
        ]
        return [int(each.removeprefix("bytes=").removesuffix("-")) for each in ranges]


class Machine:
    """A machine with an empty Hugging Face cache, and the hubs it talks to."""

    def __init__(self, folder):
        self.home = folder / "home"
        self.cache = self.home / "hub" / "models--tiny--mini"
        self.snapshot = self.cache / "snapshots" / COMMIT
        self.files = folder / "hub"
        self.model = self.files / MODEL
        self.model.parent.mkdir(parents=True)
        self.model.symlink_to(UPSTREAM / "models" / "mini-scan")
        (self.files / VQGAN).symlink_to(UPSTREAM / "vqgan")
        self.hubs = []
        self.pulls = []

    def cut_model(self):
        """Have the hub hold the model's weights in shards; returns their names."""
        source = self.model.resolve()
        self.model.unlink()
        shutil.copytree(source, self.model, copy_function=shutil.copyfile)
        return [path.name for path in cut_into_shards(self.model, 250_000)]

    def start_hub(self, **faults):
        """A hub; faults are keyed model, weights (of the model) or a name of the model's files."""
        names = {"model": MODEL, "weights": f"{MODEL}/{WEIGHTS}"}
        keyed = {names.get(key, f"{MODEL}/{key}"): value for key, value in faults.items()}
        hub = Hub(self.files, keyed)
        self.hubs.append(hub)
        return hub

    def start_pull(self, hub, *, model=f"hf:{MODEL}", vqgan=f"hf:{VQGAN}", **env):
        inherited = {name: value for name, value in os.environ.items() if name not in PROXIES}
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar.hub.pull", "--model", model, "--vqgan", vqgan],
            cwd=REPO_ROOT,
            env={**inherited, "HF_ENDPOINT": hub.url, "HF_HOME": str(self.home), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pulls.append(process)
        return process

    def pull(self, hub, code=0, **options):
        """Run a pull to its end, with the exit code and the folders it must have; its log."""
        process = self.start_pull(hub, **options)
        folders, log = process.communicate()
        assert process.returncode == code, log
        names = [Path(folder).name for folder in folders.splitlines()]
        assert names == ([COMMIT, COMMIT] if code == 0 else [])
        return log

    def kill_pull(self, hub, behind, size):
        """Run a pull until `size` bytes of the file behind another are here, and kill it."""
        process = self.start_pull(hub)
        self.until_incomplete(size, behind)
        process.kill()
        process.communicate()

    def until_incomplete(self, size, behind="config.json"):
        while not (self.snapshot / behind).exists() or self.incomplete_bytes() < size:
            time.sleep(0.02)

    def incomplete_bytes(self):
        size = 0
        for path in self.cache.glob("blobs/*.incomplete"):
            with contextlib.suppress(FileNotFoundError):  # It goes when it is whole.
                size += path.stat().st_size
        return size

    def stop(self):
        """Leave no process and no pipe behind, whatever became of the test."""
        for process in self.pulls:
            process.kill()
            process.communicate()
        for hub in self.hubs:
            hub.stop()

    def assert_model_is_whole(self, weights=(WEIGHTS,)):
        fetched = FETCHED - {WEIGHTS} | {*weights}
        assert {path.name for path in self.snapshot.iterdir()} == fetched
        for name in fetched:
            assert (self.snapshot / name).read_bytes() == (self.model / name).read_bytes()
        assert self.incomplete_bytes() == 0


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    yield machine
    machine.stop()


def test_a_first_pull_brings_everything_but_the_word_list(machine):
    assert "to fetch: 3.25 MB, here: 0 B" in machine.pull(machine.start_hub())
    machine.assert_model_is_whole()


def test_what_was_fetched_is_found_by_the_hub_s_own_library(machine):
    machine.pull(machine.start_hub())
    script = (
        "from huggingface_hub import snapshot_download, scan_cache_dir;"
        f"print(snapshot_download('{MODEL}', local_files_only=True));"
        "print(len(scan_cache_dir().repos), scan_cache_dir().warnings)"
    )
    env = {**os.environ, "HF_HOME": str(machine.home), "HF_HUB_OFFLINE": "1"}
    lines = subprocess.check_output([sys.executable, "-c", script], env=env, text=True)
    assert lines.splitlines() == [str(machine.snapshot), "2 []"]


def test_what_the_library_has_fetched_is_not_fetched_again(machine):
    hub = machine.start_hub()
    wanted = [(MODEL, name) for name in FETCHED] + [(VQGAN, "config.json"), (VQGAN, WEIGHTS)]
    script = (
        "from huggingface_hub import hf_hub_download\n"
        f"for repo, name in {wanted}: hf_hub_download(repo, name)"
    )
    env = {**os.environ, "HF_HOME": str(machine.home), "HF_ENDPOINT": hub.url}
    subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True)
    machine.pull(hub)
    assert hub.downloads() == [0]


@pytest.mark.parametrize("options", [PINNED, {"HF_HUB_OFFLINE": "1"}], ids=["a commit", "offline"])
def test_a_commit_that_is_here_and_a_pull_offline_cost_no_request(machine, options):
    machine.pull(machine.start_hub())
    hub = machine.start_hub()
    machine.pull(hub, **options)
    assert hub.stop() == []


def test_a_cut_in_the_middle_is_continued_where_it_was(machine):
    hub = machine.start_hub(weights={"cutAfter": [400_000, 100_000]})
    log = machine.pull(hub)
    first, second, third = hub.downloads()
    assert first == 0
    assert 200_000 < second <= 400_000 + 16_384
    assert third > second
    assert log.count("was cut at") == 2
    machine.assert_model_is_whole()


def test_a_killed_pull_is_continued_by_the_next(machine):
    held = machine.start_hub(weights={"holdAfter": 600_000, "gate": "/never"})
    machine.kill_pull(held, "config.json", 400_000)
    assert not (machine.snapshot / WEIGHTS).exists()
    hub = machine.start_hub()
    machine.pull(hub)
    (asked,) = hub.downloads()
    assert asked >= 400_000
    machine.assert_model_is_whole()


def test_a_hub_without_ranges_is_asked_for_the_whole_again(machine):
    machine.pull(machine.start_hub(weights={"cutAfter": [400_000], "ignoreRanges": True}))
    machine.assert_model_is_whole()


def test_a_file_that_arrives_damaged_once_is_fetched_again(machine):
    hub = machine.start_hub(weights={"corruptTimes": 1})
    assert "expected" in machine.pull(hub)
    assert hub.downloads() == [0, 0]
    machine.assert_model_is_whole()


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"weights": {"corruptTimes": 9}}, f"{WEIGHTS} of hf:{MODEL}@main arrived damaged twice"),
        ({"weights": {"listedHash": "a" * 64}}, "expected aaaa"),
        ({"weights": {"listedSize": 1_000_000}}, "expected 1000000"),
        ({"weights": {"listedSize": 1_000}}, "expected 1000)"),
        ({"config.json": {"listedHash": "b" * 40}}, "config.json of"),
    ],
)
def test_a_file_that_stays_damaged_is_refused_and_removed(machine, faults, words):
    assert words in machine.pull(machine.start_hub(**faults), 3)
    assert not (machine.snapshot / WEIGHTS).exists()
    assert machine.incomplete_bytes() == 0


@pytest.mark.parametrize(
    ("options", "faults", "code", "words"),
    [
        ({}, {"model": {"token": "secret"}}, 3, "set HF_TOKEN"),
        ({}, {"model": {"status": 403}}, 3, "refused tiny/mini with status 403"),
        ({}, {"model": {"status": 403, "errorCode": "GatedRepo"}}, 3, "an agreement"),
        ({}, {"model": {"status": 503}}, 1, "trouble of its own (status 503)"),
        ({}, {"weights": {"listedSize": 10**18}}, 3, "to be fetched, but only"),
        ({"model": "hf:tiny/none"}, {}, 3, "there is no model tiny/none at http://127.0.0.1"),
        ({"model": f"hf:{MODEL}@v9"}, {}, 3, "tiny/mini has no revision v9"),
        ({"model": "hf:nonsense"}, {}, 3, "expected hf:owner/name"),
        ({"HF_HUB_OFFLINE": "1"}, {}, 3, "HF_HUB_OFFLINE is set: unset it for the first start"),
        ({"HF_HOME": __file__}, {}, 3, "cannot write to the Hugging Face cache"),
    ],
)
def test_a_refusal_says_why_and_what_to_do_before_the_first_byte(
    machine, options, faults, code, words
):
    hub = machine.start_hub(**faults)
    log = machine.pull(hub, code, **options)
    assert words in log
    assert "Traceback" not in log
    assert hub.downloads() == []


def test_a_token_of_the_environment_is_used(machine):
    machine.pull(machine.start_hub(model={"token": "secret"}), HF_TOKEN="secret")


def test_a_proxy_of_the_environment_is_used(machine):
    proxy = machine.start_hub()
    env = {"http_proxy": proxy.url, "no_proxy": "", "HF_ENDPOINT": "http://hub.invalid"}
    machine.pull(machine.start_hub(), **env)
    assert all(request["path"].startswith("http://hub.invalid") for request in proxy.stop())


def test_a_repository_without_flax_weights_is_refused_with_what_it_holds(machine):
    torch = machine.files / "tiny" / "torch"
    torch.mkdir()
    (torch / "config.json").write_text("{}")
    (torch / "model.safetensors").write_text("")
    log = machine.pull(machine.start_hub(), 3, model="hf:tiny/torch")
    assert f"has no {WEIGHTS}: it holds config.json, model.safetensors" in log


def test_without_a_network_a_pull_is_worth_another_try(machine):
    hub = machine.start_hub()
    hub.stop()
    assert f"{hub.url} cannot be reached for tiny/mini" in machine.pull(hub, 1)


def test_without_a_network_a_branch_is_taken_from_the_cache(machine):
    hub = machine.start_hub()
    machine.pull(hub)
    hub.stop()
    assert "going on with what the cache has" in machine.pull(hub)


def test_two_pulls_at_once_share_one_download(machine, tmp_path):
    gate = tmp_path / "gate"
    hub = machine.start_hub(weights={"holdAfter": 600_000, "gate": str(gate)})
    pulls = [machine.start_pull(hub) for _ in range(2)]
    machine.until_incomplete(400_000)
    gate.touch()
    logs = [pull.communicate()[1] for pull in pulls]
    assert [pull.returncode for pull in pulls] == [0, 0], logs
    assert hub.downloads() == [0]
    machine.assert_model_is_whole()


def test_of_weights_in_shards_those_are_fetched_that_the_index_names(machine):
    shards = machine.cut_model()
    assert len(shards) > 2
    (machine.model / "flax_model-00001-of-00099.msgpack").write_bytes(b"of an earlier save")
    machine.pull(machine.start_hub())
    machine.assert_model_is_whole([INDEX, *shards])
    hub = machine.start_hub()
    machine.pull(hub, **PINNED)
    assert hub.stop() == []


def test_one_file_is_fetched_where_the_repository_has_shards_too(machine):
    shards = machine.cut_model()
    shutil.copyfile(UPSTREAM / "models" / "mini-scan" / WEIGHTS, machine.model / WEIGHTS)
    hub = machine.start_hub()
    machine.pull(hub)
    machine.assert_model_is_whole()
    assert hub.downloads(shards[0]) == []


def test_a_snapshot_without_one_of_its_shards_is_not_taken_for_a_whole_one(machine):
    shards = machine.cut_model()
    machine.pull(machine.start_hub(), **PINNED)
    (machine.snapshot / shards[1]).resolve().unlink()
    hub = machine.start_hub()
    machine.pull(hub, **PINNED)
    machine.assert_model_is_whole([INDEX, *shards])
    assert hub.downloads(shards[1]) == [0]
    asked = {Path(request["path"]).name for request in hub.stop()}
    assert asked.isdisjoint({INDEX, shards[0], *shards[2:]})


def test_a_pull_that_was_killed_within_a_shard_is_continued_there(machine):
    shards = machine.cut_model()
    held = machine.start_hub(**{shards[2]: {"holdAfter": 200_000, "gate": "/never"}})
    machine.kill_pull(held, shards[1], 150_000)
    assert not (machine.snapshot / shards[2]).exists()
    hub = machine.start_hub()
    machine.pull(hub)
    (asked,) = hub.downloads(shards[2])
    assert asked >= 150_000
    assert hub.downloads(shards[1]) == []
    machine.assert_model_is_whole([INDEX, *shards])


def test_an_index_that_names_what_the_repository_has_not_is_refused_before_any_shard(machine):
    shards = machine.cut_model()
    (machine.model / shards[1]).unlink()
    hub = machine.start_hub()
    words = f"hf:{MODEL}@main has no {shards[1]}, which its {INDEX} names"
    assert words in machine.pull(hub, 3)
    assert hub.downloads(shards[0]) == []


@pytest.mark.parametrize("place", ["../../../escaped", "/tmp/flax_model-00001-of-00002.msgpack"])
def test_an_index_that_leads_out_of_its_folder_is_refused_before_any_shard(machine, place):
    shards = machine.cut_model()
    places = read_index(machine.model)
    write_index(machine.model, {**places, min(places): place})
    hub = machine.start_hub()
    log = machine.pull(hub, 3)
    assert f"{INDEX}: '{min(places)}' is said to be in '{place}'" in log
    assert "Traceback" not in log
    assert hub.downloads(shards[-1]) == []


def test_an_index_that_is_larger_than_any_is_not_even_fetched(machine):
    machine.cut_model()
    hub = machine.start_hub(**{INDEX: {"listedSize": 1 << 40}})
    words = f"{INDEX} of hf:{MODEL}@main has 1100 GB, expected at most 16.8 MB"
    assert words in machine.pull(hub, 3)
    assert not any(INDEX in request["path"] for request in hub.stop())
