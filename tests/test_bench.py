"""Every benchmark runs, at sizes that say nothing about speed, and yields what it should."""

import dataclasses
import json
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np
import pytest

from bench import bulk, decode, entropy, kernels, memory, open, random
from bench.__main__ import BENCHMARKS, run_and_record
from bench.bare import bare_runs, fastest_bare
from bench.equal_quality import PEERS, tune
from bench.ratios import Ratio, to_json
from bench.timing import Rounds, Work, interleave
from bench.workloads import varied_digits
from engine.runtime.device import available_cores

RUNS = {
    "bulk": lambda: bulk.run({"klt": 300}, runs=1),
    "decode": lambda: decode.run({"dense": 600}, runs=1),
    "random": lambda: random.run({"dense": 600}, rounds=2, many_rounds=1),
    "memory": lambda: memory.run({"max-error 8": 30}, runs=1),
    "open": lambda: open.run(samples=600, shards=3, rounds=1),
    "entropy": lambda: entropy.run(samples=2048, rounds=1, epochs=1),
    "kernels": lambda: kernels.run(samples=3, shard_samples=512, rounds=1),
}


def flat(ratios):
    """Ratios by what they are, those of several codecs together."""
    if all("measured" in ratio for ratio in ratios.values()):
        return ratios
    return {
        f"{codec} {what}": ratio for codec, own in ratios.items() for what, ratio in own.items()
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.slow] if name in ("bulk", "memory", "entropy") else []
        )
        for name in RUNS
    ],
)
def test_a_benchmark_gives_ratios_first(name):
    result = RUNS[name]()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert next(iter(result)) == "ratios"
    ratios = flat(result["ratios"])
    assert all(
        np.isfinite(ratio["measured"]) and ratio["measured"] > 0 for ratio in ratios.values()
    )
    held = [ratio for ratio in ratios.values() if "target" in ratio]
    assert all(ratio["reached"] in ("aim", "target", "MISSED") for ratio in held)
    assert held or name == "kernels"


def test_what_was_found_is_recorded_with_the_machine(tmp_path):
    path = run_and_record("nothing", lambda: {"ratios": {}}, tmp_path / "results")
    record = json.loads(path.read_text())
    assert path == tmp_path / "results" / "nothing.json"
    assert list(record) == ["benchmark", "result", "machine", "elapsed_s"]
    assert record["result"] == {"ratios": {}}
    assert record["machine"]["cores"] >= 1
    assert {"numpy", "zarr"} <= record["machine"]["versions"].keys()


def test_all_readers_at_random_give_the_same_samples(tmp_path):
    with ExitStack() as opened:
        readers = random.open_readers("dense", 600, tmp_path, opened)
        for rows in (np.array([599]), np.random.default_rng(0).integers(0, 600, 256)):
            found = {
                name: np.asarray(read(rows)).reshape(-1, 28, 28) for name, read in readers.items()
            }
            bare = found[random.BARE].round().clip(0, 255).astype(np.uint8)
            np.testing.assert_array_equal(bare, found[random.STORE])
            raw = [found[name] for name in found if name not in (random.BARE, random.STORE)]
            assert raw and all(np.array_equal(one, varied_digits(600)[rows]) for one in raw)


def test_the_listing_has_a_line_for_every_benchmark():
    found = subprocess.run(
        [sys.executable, "-m", "bench"], capture_output=True, text=True, check=True
    )
    lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()[1:]]
    assert [name for name, _ in lines] == list(BENCHMARKS)
    assert all(line.endswith(".") and len(line) < 100 for _, line in lines)


def test_an_unknown_benchmark_is_a_failure():
    found = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert "bulk" in found.stdout


def test_works_take_turns_and_warm_up():
    calls = []
    works = {name: Work(lambda turn, name=name: calls.append((turn, name))) for name in "abc"}
    rounds = interleave(works, 20, warm_up=2)
    assert [turn for turn, _ in calls] == [turn for turn in range(22) for _ in "abc"]
    assert {tuple(name for _, name in calls[at : at + 3]) for at in range(0, 66, 3)} > {
        ("a", "b", "c"), ("c", "b", "a")
    }  # fmt: skip
    assert {len(seconds) for seconds in rounds.seconds.values()} == {20}


def test_times_are_counted_by_items():
    pause = 0.005
    works = {
        "one": Work(lambda _: time.sleep(pause)),
        "many": Work(lambda _: time.sleep(pause), 10**6),
    }
    rounds = interleave(works, 1)
    assert rounds.median_s("one") >= pause
    assert rounds.median_s("many") < pause
    assert rounds.fastest() == "many"


def test_a_ratio_of_rounds_is_the_median_of_their_ratios():
    rounds = Rounds({"ours": (2.0, 6.0, 8.0), "bare": (1.0, 2.0, 8.0)})
    assert rounds.time_ratio("ours", "bare") == 2
    assert rounds.speed_ratio("ours", "bare") == 0.5
    assert rounds.items_per_s() == {"ours": 0.1667, "bare": 0.5}
    assert rounds.medians(1e-3) == {"ours": 6000, "bare": 2000}


@pytest.mark.parametrize(
    ("measured", "at_most", "verdict"),
    [
        (0.69, False, "MISSED"),
        (0.70, False, "target"),
        (0.86, False, "aim"),
        (0.84, True, "target"),
        (0.69, True, "aim"),
        (0.86, True, "MISSED"),
    ],
)
def test_a_ratio_is_held_against_target_and_aim(measured, at_most, verdict):
    limits = (0.85, 0.70) if at_most else (0.70, 0.85)
    ratio = Ratio("this / that", measured, *limits, at_most=at_most)
    assert ratio.verdict == verdict
    assert to_json([ratio])["this / that"]["measured"] == measured


def test_a_ratio_without_target_has_no_verdict():
    assert Ratio("this / that", 1.23456).to_json() == {"measured": 1.23, "unit": "x"}


def test_the_bare_limit_runs_every_value_through_both_networks(digits_codec, digits):
    files = digits_codec.files
    networks = [files.contents[name] for name in ("encoder.onnx", "decoder.onnx")]
    runs = bare_runs(networks, digits[:100], batches=(16, 32))
    cores = available_cores()
    assert {(run.callers, run.threads) for run in runs} == {(1, cores), (cores, 1)}
    for run in runs:
        assert run.batch in (16, 32)
        seen = []
        counted = dataclasses.replace(run, sessions=(seen.append,))
        counted(digits[:100])
        assert sum(map(len, seen)) == 100


def test_of_the_bare_runs_only_the_fastest_counts():
    rounds = Rounds({"bare: a": (3.0, 3.0), "bare: b": (2.0, 2.0), "ours": (4.0, 4.0)})
    kept, layout = fastest_bare("bare", rounds)
    assert layout == "b"
    assert kept.seconds == {"bare": (2.0, 2.0), "ours": (4.0, 4.0)}


def test_no_two_digits_are_alike():
    samples = varied_digits(6000)
    assert samples.dtype == np.uint8
    assert len(np.unique(samples.reshape(6000, -1), axis=0)) > 5900
    np.testing.assert_array_equal(varied_digits(6000), samples)


@pytest.mark.parametrize(
    "peer", [pytest.param(peer, id=peer.name) for peer in PEERS if peer.is_installed]
)
def test_a_peer_is_tuned_to_the_coarsest_setting_that_reaches_a_psnr(peer, digits):
    tuned = tune(peer, [digits[:64]], psnr_db=30.0)
    assert tuned.psnr_db >= 30
    assert tuned.sample_bytes < tune(peer, [digits[:64]], psnr_db=36.0).sample_bytes
