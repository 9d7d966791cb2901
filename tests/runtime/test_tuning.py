import json
import multiprocessing
import sys

import numpy as np
import pytest

from engine import Codec, InvalidInput
from engine.codec.files import CodecFiles
from engine.runtime import machine, tuning
from engine.runtime.layout_trials import Layout, Trials, candidates, random_samples, search, shares
from engine.runtime.tuning import Tuning, measure, tune
from engine.runtime.user_cache import cache_folder, read_cached, write_cached

KEPT = Tuning("cpu", 64, 32, 1, 1, 100.0, 50.0)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "latent-engine"


@pytest.fixture
def quick(monkeypatch):
    """Long enough for one trial or two."""
    monkeypatch.setattr(tuning, "BUDGET_S", 0.02)


@pytest.fixture
def stored(digits_codec):
    """The codec as a store may keep it: `stored("decoder.onnx")`."""

    def keep(*names):
        contents = {name: digits_codec.files.contents[name] for name in names}
        return Codec(CodecFiles(digits_codec.manifest, contents), "cpu")

    return keep


def test_a_tuning_is_one_of_the_candidates(digits_codec):
    tuned = measure(digits_codec, budget_s=0.1)
    assert tuned.layout in candidates(digits_codec)
    assert tuned.read_layout in candidates(digits_codec)
    assert tuned.device == "cpu"
    assert tuned.encode_samples_per_s > 0
    assert tuned.decode_samples_per_s > 0


def test_small_batches_are_for_reading_where_only_what_surrounds_them_is_slow(
    digits_codec, monkeypatch
):
    def trial(trials, layout):
        return {"encoder": 1e-6, "decoder": 1e-6 + layout.batch_samples * 1e-10}

    monkeypatch.setattr(Trials, "__call__", trial)
    tuned = measure(digits_codec, budget_s=0.1)
    assert tuned.read_batch_samples < tuned.batch_samples
    assert (tuned.read_layout.callers, tuned.read_layout.threads_per_run) == (
        tuned.callers,
        tuned.threads_per_run,
    )


def test_a_tuning_goes_through_json(digits_codec):
    document = json.loads(json.dumps(KEPT.to_json()))
    assert Tuning.from_json(document) == KEPT


@pytest.mark.parametrize(
    "change",
    [
        {"batch_samples": 0},
        {"read_batch_samples": 0.5},
        {"batch_samples": True},
        {"callers": -1},
        {"threads_per_run": 1.5},
        {"device": "tpu"},
        {"encode_samples_per_s": float("inf")},
        {"decode_samples_per_s": "fast"},
        {"more": 1},
    ],
)
def test_what_nobody_measured_is_no_tuning(change):
    with pytest.raises(InvalidInput, match="expected"):
        Tuning.from_json(KEPT.to_json() | change)
    with pytest.raises(InvalidInput, match="expected the members"):
        Tuning.from_json([])


@pytest.fixture
def counted_runs(monkeypatch):
    """How often a network was opened, by a count that real networks go through."""
    from engine.runtime import codec

    opened = []
    network = codec.Network

    def counting(*arguments, **options):
        opened.append(arguments)
        return network(*arguments, **options)

    monkeypatch.setattr(codec, "Network", counting)
    return opened


@pytest.mark.usefixtures("quick")
def test_a_second_call_runs_no_network(digits_codec, counted_runs, cache):
    first = tune(digits_codec)
    assert counted_runs
    counted_runs.clear()
    assert tune(digits_codec.on("cpu")) == first
    assert counted_runs == []
    assert len(list(cache.iterdir())) == 1
    tune(digits_codec, refresh=True)
    assert counted_runs


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 10_000,
        b"null",
        b'{"batch_samples": 1}',
        json.dumps(KEPT.to_json() | {"batch_samples": 1 << 40}).encode(),
        json.dumps(KEPT.to_json() | {"read_batch_samples": 3}).encode(),
        json.dumps(KEPT.to_json() | {"device": "cuda"}).encode(),
        json.dumps(KEPT.to_json() | {"callers": 10**6}).encode(),
    ],
    ids=range(10),
)
def test_a_damaged_or_foreign_cache_is_measured_again(digits_codec, damage, cache):
    tune(digits_codec)
    (file,) = cache.iterdir()
    file.write_bytes(damage)
    again = tune(digits_codec)
    assert again.layout in candidates(digits_codec)
    assert json.loads(file.read_bytes()) == again.to_json()


@pytest.mark.usefixtures("quick")
def test_a_cache_that_can_not_be_written_is_no_error(digits_codec, cache):
    cache.parent.write_text("a file where the folder should be")
    assert tune(digits_codec).layout in candidates(digits_codec)
    assert read_cached("anything.json") is None


@pytest.mark.usefixtures("quick")
def test_a_folder_in_place_of_the_file_is_replaced(digits_codec, cache):
    first = tune(digits_codec)
    (file,) = cache.iterdir()
    file.unlink()
    (file / "inside").mkdir(parents=True)
    assert tune(digits_codec).device == first.device
    assert file.is_file()


@pytest.mark.usefixtures("quick")
def test_every_machine_codec_and_encoder_is_measured_by_itself(digits_codec, monkeypatch, cache):
    def files():
        return {path.name for path in cache.iterdir()}

    tune(digits_codec)
    own = files()
    tune(digits_codec.with_encoder("int8", digits_codec.files.role("encoder")))
    assert len(files()) == 2
    for name, value in (("available_cores", 1), ("processor_name", "another")):
        before = files()
        with monkeypatch.context() as patch:
            patch.setattr(machine, name, lambda value=value: value)
            tune(digits_codec)
        assert len(files() - before) == 1
    assert own < files()


def _write_often(number):
    for _ in range(50):
        write_cached("shared.json", {"writer": number, "text": "x" * 5000})


def test_processes_share_the_cache(cache):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = read_cached("shared.json")
        assert found is None or len(found["text"]) == 5000
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [path.name for path in cache.iterdir()] == ["shared.json"]


def test_the_cache_lies_where_the_platform_keeps_such_things(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for platform, expected in (
        ("linux", ".cache/latent-engine"),
        ("darwin", "Library/Caches/latent-engine"),
        ("win32", "local/latent-engine"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == tmp_path / expected


@pytest.mark.parametrize("limit_mib", [1, 2, 8, 4096])
def test_no_candidate_exceeds_the_limit_on_memory(digits_codec, limit_mib):
    files = digits_codec.files
    limited = Codec(CodecFiles(files.manifest, files.contents, None, limit_mib << 20), "cpu")
    found = candidates(limited, cores=4)
    assert {(layout.callers, layout.threads_per_run) for layout in found} == {
        (4, 1),
        (2, 2),
        (1, 4),
    }
    for role in ("encoder", "decoder"):
        memory = limited.files.memory(role)
        for layout in found:
            needed = layout.callers * layout.batch_samples * memory.sample_bytes
            assert memory.loaded_bytes + needed <= limit_mib << 20 or layout.batch_samples == 1


def test_candidates_are_larger_where_memory_allows(digits_codec):
    sizes = [layout.batch_samples for layout in candidates(digits_codec, cores=1)]
    assert sizes == sorted(set(sizes))
    assert sizes[0] < digits_codec.batch_samples < sizes[-1]


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 5, 6, 16, 64, 96])
def test_cores_are_shared_out_and_never_twice(cores):
    found = shares("cpu", cores)
    assert (cores, 1) in found
    assert (1, cores) in found
    assert all(callers * threads <= cores for callers, threads in found)
    assert len(set(found)) == len(found)
    assert {threads for _, threads in shares("cuda", cores)} == {1}


def timed_search(seconds_a_sample, sizes, budget_s):
    """A search among batches of `sizes` by a clock that only trials move."""
    layouts = [Layout(size, 1, 1) for size in sizes]
    now, tried = [0.0], []

    def trial(layout):
        tried.append(layout.batch_samples)
        now[0] += seconds_a_sample[layout.batch_samples] * layout.batch_samples
        return {"encoder": seconds_a_sample[layout.batch_samples]}

    return search(layouts, trial, budget_s, lambda: now[0]), tried, now[0]


def test_slow_layouts_are_measured_once():
    cost = {1: 1e-2, 2: 1e-3, 4: 1.1e-3}
    results, tried, _ = timed_search(cost, (1, 2, 4), 1.0)
    assert tried.count(1) == 1
    assert tried.count(2) > 10
    assert min(results, key=lambda layout: results[layout]["encoder"]).batch_samples == 2


def test_a_search_ends_before_its_time_is_over():
    cost = dict.fromkeys((1, 2, 4, 8, 16), 0.1)
    _, tried, elapsed_s = timed_search(cost, cost, 1.0)
    assert tried == [1, 2, 4]
    assert elapsed_s <= 1.0


def test_one_layout_is_measured_however_slow():
    results, tried, _ = timed_search({1: 9.0, 2: 9.0}, (1, 2), 1.0)
    assert tried == [1]
    assert list(results) == [Layout(1, 1, 1)]


def test_a_codec_without_its_encoder_is_tuned_for_decoding(stored):
    tuned = measure(stored("decoder.onnx"), budget_s=0.05)
    assert tuned.encode_samples_per_s is None
    assert tuned.decode_samples_per_s > 0


def test_a_codec_without_networks_has_a_batch_size(stored):
    tuned = measure(stored(), budget_s=0.05)
    assert tuned.batch_samples == stored().batch_samples
    assert tuned.encode_samples_per_s is tuned.decode_samples_per_s is None


@pytest.mark.parametrize("dtype", ["u1", "i2", "u8", "f2", "f4", "f8"])
def test_random_samples_lie_within_the_range(make_codec, dtype):
    data = np.random.default_rng(0).uniform(3, 90, (50, 2, 3)).astype(dtype)
    codec = make_codec(data, 2)
    samples = random_samples(codec, 100)
    assert (samples.shape, samples.dtype) == ((100, 2, 3), np.dtype(dtype))
    low, high = codec.manifest.sample.data_range
    assert low <= samples.min() < samples.max() <= high
