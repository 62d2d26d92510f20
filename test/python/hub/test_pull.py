"""Fetching from a hub on this machine, with the real huggingface_hub in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.sharding import INDEX, cut_into_shards, read_index, write_index

MODEL = "tiny/mini"
VQGAN = "tiny/vqgan"
COMMIT = "c0ffee" + "0" * 34
WEIGHTS = "flax_model.msgpack"
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


def size_of(path):
    """Bytes of a file; none when it goes between being listed and being asked."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Hub:
    """A running fake_hub.py and what it was asked."""

    def __init__(self, repo_root, folder, faults):
        program = repo_root / "test" / "fixtures" / "fake_hub.py"
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

    def weight_ranges(self, name=WEIGHTS):
        """The ranges that were asked of a file of the model's weights, in order; ends the hub."""
        path = f"/lfs/{MODEL}/{name}"
        requests = [each for each in self.stop() if each["method"] == "GET"]
        return [request["range"] for request in requests if request["path"] == path]


class Machine:
    """A machine with an empty Hugging Face cache, and the hubs it talks to."""

    def __init__(self, repo_root, upstream, folder):
        self.repo_root = repo_root
        self.home = folder / "home"
        self.files = folder / "hub"
        (self.files / "tiny").mkdir(parents=True)
        (self.files / MODEL).symlink_to(upstream / "models" / "mini-scan")
        (self.files / VQGAN).symlink_to(upstream / "vqgan")
        self.hubs = []
        self.pulls = []

    def cut_model(self):
        """Have the hub hold the model's weights in shards; returns their names."""
        source = (self.files / MODEL).resolve()
        (self.files / MODEL).unlink()
        shutil.copytree(source, self.files / MODEL, copy_function=shutil.copyfile)
        return [path.name for path in cut_into_shards(self.files / MODEL, 250_000)]

    def start_hub(self, **faults):
        """A hub; faults are keyed model, vqgan, weights (of the model), config or a file's name."""
        names = {
            "model": MODEL,
            "vqgan": VQGAN,
            "weights": f"{MODEL}/{WEIGHTS}",
            "config": f"{MODEL}/config.json",
        }
        keyed = {names.get(key, f"{MODEL}/{key}"): value for key, value in faults.items()}
        hub = Hub(self.repo_root, self.files, keyed)
        self.hubs.append(hub)
        return hub

    def start_pull(self, hub, *, model=f"hf:{MODEL}", vqgan=f"hf:{VQGAN}", **env):
        inherited = {name: value for name, value in os.environ.items() if name not in PROXIES}
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar.hub.pull", "--model", model, "--vqgan", vqgan],
            cwd=self.repo_root,
            env={**inherited, "HF_ENDPOINT": hub.url, "HF_HOME": str(self.home), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pulls.append(process)
        return process

    def pull(self, hub, **options):
        """Run a pull to its end: exit code, folders, log."""
        process = self.start_pull(hub, **options)
        folders, log = process.communicate()
        return process.returncode, folders.splitlines(), log

    @property
    def model_cache(self):
        return self.home / "hub" / f"models--{MODEL.replace('/', '--')}"

    def incomplete_bytes(self):
        return sum(size_of(path) for path in self.model_cache.glob("blobs/*.incomplete"))

    def until_incomplete(self, size):
        """Wait until that many bytes of an incomplete file are here."""
        while self.incomplete_bytes() < size:
            time.sleep(0.02)

    def stop(self):
        """Leave no process and no pipe behind, whatever became of the test."""
        for process in self.pulls:
            process.kill()
            process.communicate()
        for hub in self.hubs:
            hub.stop()

    def assert_model_is_whole(self, weights=(WEIGHTS,)):
        source, folder = self.files / MODEL, self.model_cache / "snapshots" / COMMIT
        fetched = FETCHED - {WEIGHTS} | {*weights}
        assert {path.name for path in folder.iterdir()} == fetched
        for name in fetched:
            assert (folder / name).read_bytes() == (source / name).read_bytes()
        assert self.incomplete_bytes() == 0


@pytest.fixture
def machine(repo_root, upstream, tmp_path):
    machine = Machine(repo_root, upstream, tmp_path)
    yield machine
    machine.stop()


def test_a_first_pull_brings_everything_but_the_word_list(machine):
    code, folders, log = machine.pull(machine.start_hub())
    assert code == 0, log
    assert [Path(folder).name for folder in folders] == [COMMIT, COMMIT]
    assert "to fetch: 3.25 MB, here: 0 B" in log
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
    folder = machine.model_cache / "snapshots" / COMMIT
    assert lines.splitlines() == [str(folder), "2 []"]


def test_what_the_library_has_fetched_is_not_fetched_again(machine):
    hub = machine.start_hub()
    wanted = [(MODEL, name) for name in FETCHED] + [(VQGAN, "config.json"), (VQGAN, WEIGHTS)]
    script = (
        "from huggingface_hub import hf_hub_download\n"
        f"for repo, name in {wanted}: hf_hub_download(repo, name)"
    )
    env = {**os.environ, "HF_HOME": str(machine.home), "HF_ENDPOINT": hub.url}
    subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True)
    code, folders, log = machine.pull(hub)
    assert code == 0, log
    assert len(folders) == 2
    assert hub.weight_ranges() == [None]


def test_a_commit_that_is_here_costs_no_request(machine):
    machine.pull(machine.start_hub())
    hub = machine.start_hub()
    pinned = {"model": f"hf:{MODEL}@{COMMIT}", "vqgan": f"hf:{VQGAN}@{COMMIT}"}
    assert machine.pull(hub, **pinned)[0] == 0
    assert hub.stop() == []


def test_a_cut_in_the_middle_is_continued_where_it_was(machine):
    hub = machine.start_hub(weights={"cutAfter": [400_000, 100_000]})
    code, _, log = machine.pull(hub)
    assert code == 0, log
    first, second, third = hub.weight_ranges()
    assert first is None
    starts = [int(each.removeprefix("bytes=").removesuffix("-")) for each in (second, third)]
    assert 200_000 < starts[0] <= 400_000 + 16_384
    assert starts[1] > starts[0]
    assert log.count("was cut at") == 2
    machine.assert_model_is_whole()


def test_a_killed_pull_is_continued_by_the_next(machine, tmp_path):
    held = machine.start_hub(weights={"holdAfter": 600_000, "gate": str(tmp_path / "never")})
    process = machine.start_pull(held)
    machine.until_incomplete(400_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (machine.model_cache / "snapshots" / COMMIT / WEIGHTS).exists()
    hub = machine.start_hub()
    assert machine.pull(hub)[0] == 0
    (asked,) = hub.weight_ranges()
    assert int(asked.removeprefix("bytes=").removesuffix("-")) >= 400_000
    machine.assert_model_is_whole()


def test_a_hub_without_ranges_is_asked_for_the_whole_again(machine):
    hub = machine.start_hub(weights={"cutAfter": [400_000], "ignoreRanges": True})
    assert machine.pull(hub)[0] == 0
    machine.assert_model_is_whole()


def test_a_file_that_arrives_damaged_once_is_fetched_again(machine):
    hub = machine.start_hub(weights={"corruptTimes": 1})
    code, _, log = machine.pull(hub)
    assert code == 0, log
    assert "expected" in log
    assert hub.weight_ranges() == [None, None]
    machine.assert_model_is_whole()


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"weights": {"corruptTimes": 9}}, f"{WEIGHTS} of hf:{MODEL}@main arrived damaged twice"),
        ({"weights": {"listedHash": "a" * 64}}, "expected aaaa"),
        ({"weights": {"listedSize": 1_000_000}}, "expected 1000000"),
        ({"weights": {"listedSize": 1_000}}, "expected 1000)"),
        ({"config": {"listedHash": "b" * 40}}, "config.json of"),
    ],
)
def test_a_file_that_stays_damaged_is_refused_and_removed(machine, faults, words):
    code, _, log = machine.pull(machine.start_hub(**faults))
    assert code == 3
    assert words in log
    assert not list(machine.model_cache.glob(f"snapshots/*/{WEIGHTS}"))
    assert machine.incomplete_bytes() == 0


@pytest.mark.parametrize(
    ("model", "faults", "code", "words"),
    [
        (f"hf:{MODEL}", {"model": {"token": "secret"}}, 3, "set HF_TOKEN"),
        (f"hf:{MODEL}", {"model": {"status": 403}}, 3, "refused tiny/mini with status 403"),
        (f"hf:{MODEL}", {"model": {"status": 403, "errorCode": "GatedRepo"}}, 3, "an agreement"),
        ("hf:tiny/nothing", {}, 3, "there is no model tiny/nothing at http://127.0.0.1"),
        (f"hf:{MODEL}@v9", {}, 3, "tiny/mini has no revision v9"),
        (f"hf:{MODEL}", {"model": {"status": 503}}, 1, "trouble of its own (status 503)"),
        ("hf:nonsense", {}, 3, "expected hf:owner/name"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(machine, model, faults, code, words):
    exit_code, _, log = machine.pull(machine.start_hub(**faults), model=model)
    assert words in log
    assert exit_code == code
    assert "Traceback" not in log


def test_a_token_of_the_environment_is_used(machine):
    hub = machine.start_hub(model={"token": "secret"})
    assert machine.pull(hub, HF_TOKEN="secret")[0] == 0


def test_a_proxy_of_the_environment_is_used(machine):
    proxy = machine.start_hub()
    code, _, _ = machine.pull(
        machine.start_hub(), http_proxy=proxy.url, no_proxy="", HF_ENDPOINT="http://hub.invalid"
    )
    assert code == 0
    assert all(request["path"].startswith("http://hub.invalid") for request in proxy.stop())


def test_a_repository_without_flax_weights_is_refused_with_what_it_holds(machine):
    torch = machine.files / "tiny" / "torch"
    torch.mkdir()
    (torch / "config.json").write_text("{}")
    (torch / "model.safetensors").write_text("")
    code, _, log = machine.pull(machine.start_hub(), model="hf:tiny/torch")
    assert code == 3
    assert f"has no {WEIGHTS}: it holds config.json, model.safetensors" in log


def test_without_a_network_a_pull_is_worth_another_try(machine):
    hub = machine.start_hub()
    hub.stop()
    code, _, log = machine.pull(hub)
    assert code == 1
    assert f"{hub.url} cannot be reached for tiny/mini" in log


def test_without_a_network_a_branch_is_taken_from_the_cache(machine):
    hub = machine.start_hub()
    machine.pull(hub)
    hub.stop()
    code, folders, log = machine.pull(hub)
    assert code == 0
    assert len(folders) == 2
    assert "going on with what the cache has" in log


def test_offline_uses_the_cache_without_a_request(machine):
    machine.pull(machine.start_hub())
    hub = machine.start_hub()
    assert machine.pull(hub, HF_HUB_OFFLINE="1")[0] == 0
    assert hub.stop() == []


def test_offline_without_a_cache_is_refused(machine):
    code, _, log = machine.pull(machine.start_hub(), HF_HUB_OFFLINE="1")
    assert code == 3
    assert "HF_HUB_OFFLINE is set: unset it for the first start" in log


def test_two_pulls_at_once_share_one_download(machine, tmp_path):
    gate = tmp_path / "gate"
    hub = machine.start_hub(weights={"holdAfter": 600_000, "gate": str(gate)})
    pulls = [machine.start_pull(hub) for _ in range(2)]
    machine.until_incomplete(400_000)
    gate.touch()
    logs = [pull.communicate()[1] for pull in pulls]
    assert [pull.returncode for pull in pulls] == [0, 0], logs
    assert hub.weight_ranges() == [None]
    machine.assert_model_is_whole()


def test_a_cache_that_cannot_be_written_is_refused(machine, tmp_path):
    machine.home = tmp_path / "file"
    machine.home.write_text("")
    code, _, log = machine.pull(machine.start_hub())
    assert code == 3
    assert "cannot write to the Hugging Face cache" in log


def test_what_does_not_fit_on_the_disk_is_refused_before_the_first_byte(machine):
    hub = machine.start_hub(weights={"listedSize": 10**18})
    code, _, log = machine.pull(hub)
    assert code == 3
    assert "to be fetched, but only" in log
    assert hub.weight_ranges() == []


def test_of_weights_in_shards_those_are_fetched_that_the_index_names(machine):
    shards = machine.cut_model()
    assert len(shards) > 2
    (machine.files / MODEL / "flax_model-00001-of-00099.msgpack").write_bytes(b"of an earlier save")
    code, folders, log = machine.pull(machine.start_hub())
    assert code == 0, log
    assert [Path(folder).name for folder in folders] == [COMMIT, COMMIT]
    machine.assert_model_is_whole([INDEX, *shards])
    hub = machine.start_hub()
    pinned = {"model": f"hf:{MODEL}@{COMMIT}", "vqgan": f"hf:{VQGAN}@{COMMIT}"}
    assert machine.pull(hub, **pinned)[0] == 0
    assert hub.stop() == []


def test_one_file_is_fetched_where_the_repository_has_shards_too(machine):
    shards = machine.cut_model()
    whole = machine.repo_root / "test/fixtures/upstream/models/mini-scan" / WEIGHTS
    shutil.copyfile(whole, machine.files / MODEL / WEIGHTS)
    hub = machine.start_hub()
    assert machine.pull(hub)[0] == 0
    machine.assert_model_is_whole()
    assert hub.weight_ranges(shards[0]) == []


def test_a_snapshot_without_one_of_its_shards_is_not_taken_for_a_whole_one(machine):
    shards = machine.cut_model()
    pinned = {"model": f"hf:{MODEL}@{COMMIT}", "vqgan": f"hf:{VQGAN}@{COMMIT}"}
    assert machine.pull(machine.start_hub(), **pinned)[0] == 0
    (machine.model_cache / "snapshots" / COMMIT / shards[1]).resolve().unlink()
    hub = machine.start_hub()
    assert machine.pull(hub, **pinned)[0] == 0
    machine.assert_model_is_whole([INDEX, *shards])
    assert hub.weight_ranges(shards[1]) == [None]
    asked = {Path(request["path"]).name for request in hub.requests}
    assert asked.isdisjoint({INDEX, shards[0], *shards[2:]})


def test_a_pull_that_was_killed_within_a_shard_is_continued_there(machine, tmp_path):
    shards = machine.cut_model()
    held = machine.start_hub(**{shards[2]: {"holdAfter": 200_000, "gate": str(tmp_path / "never")}})
    process = machine.start_pull(held)
    snapshot = machine.model_cache / "snapshots" / COMMIT
    while not (snapshot / shards[1]).exists():
        time.sleep(0.02)
    machine.until_incomplete(150_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (snapshot / shards[2]).exists()
    hub = machine.start_hub()
    assert machine.pull(hub)[0] == 0
    (asked,) = hub.weight_ranges(shards[2])
    assert int(asked.removeprefix("bytes=").removesuffix("-")) >= 150_000
    assert hub.weight_ranges(shards[1]) == []
    machine.assert_model_is_whole([INDEX, *shards])


def test_an_index_that_names_what_the_repository_has_not_is_refused_before_any_shard(machine):
    shards = machine.cut_model()
    (machine.files / MODEL / shards[1]).unlink()
    hub = machine.start_hub()
    code, _, log = machine.pull(hub)
    assert code == 3
    assert f"hf:{MODEL}@main has no {shards[1]}, which its {INDEX} names" in log
    assert hub.weight_ranges(shards[0]) == []


@pytest.mark.parametrize("place", ["../../../escaped", "/tmp/flax_model-00001-of-00002.msgpack"])
def test_an_index_that_leads_out_of_its_folder_is_refused_before_any_shard(machine, place):
    shards = machine.cut_model()
    places = read_index(machine.files / MODEL)
    write_index(machine.files / MODEL, {**places, min(places): place})
    hub = machine.start_hub()
    code, _, log = machine.pull(hub)
    assert code == 3
    assert f"{INDEX}: '{min(places)}' is said to be in '{place}'" in log
    assert "Traceback" not in log
    assert hub.weight_ranges(shards[-1]) == []


def test_an_index_that_is_larger_than_any_is_not_even_fetched(machine):
    machine.cut_model()
    hub = machine.start_hub(**{INDEX: {"listedSize": 1 << 40}})
    code, _, log = machine.pull(hub)
    assert code == 3
    assert f"{INDEX} of hf:{MODEL}@main has 1100 GB, expected at most 16.8 MB" in log
    assert not any(INDEX in request["path"] for request in hub.stop())
