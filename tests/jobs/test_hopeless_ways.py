"""Ways that are much larger on a part of a shard aren't encoded for the whole of it."""

import numpy as np
import pytest

import engine
from engine.guarantee import Guarantee
from engine.jobs import guaranteed_shards, hopeless_ways
from engine.jobs.hopeless_ways import _part, _spread_runs
from engine.jobs.rules import make_rules
from engine.jobs.survey import survey
from engine.jobs.ways import AS_IT_IS, ShardSamples, ways
from engine.sources import open_source

from ..laws import tree

PROMISES = [{"max_error": 4}, {"min_psnr": 25}]


def shard_of(guarantee, count=24):
    rng = np.random.default_rng(7)
    samples = rng.normal(100, 30, (count, 4, 5)).astype("f4")
    samples[3, 1] = np.nan
    y = samples + rng.normal(0, 3, samples.shape).astype("f4")
    samples[5], y[5] = 1e4, rng.normal(0, 1000, samples.shape[1:])  # costs more than itself
    with open_source(samples) as source:
        found = survey(source, guarantee.fill_values)
    latents = np.arange(count, dtype="i1").reshape(-1, 1)
    uncovered = np.arange(count) % 7 == 2
    shard = ShardSamples(samples, found.verbatim(samples), latents, y, uncovered)
    return shard, make_rules(guarantee, samples.dtype, found, 1e-4)


@pytest.mark.parametrize("options", PROMISES, ids=str)
def test_the_store_is_the_same_as_if_all_had_been_encoded(
    options, digits, digits_codec, tmp_path, monkeypatch
):
    sizes = {"chunk_samples": 16, "shard_samples": 64}

    def compress(name):
        path = tmp_path / name
        engine.compress(digits[:192], path, digits_codec, device="cpu", **sizes, **options)
        return tree(path)

    dropped, whole = [], hopeless_ways.hopeless_ways

    def watched(*arguments):
        dropped.append(whole(*arguments))
        return dropped[-1]

    monkeypatch.setattr(guaranteed_shards, "hopeless_ways", watched)
    found = compress("some.zarr")
    assert len(dropped) == 3
    assert all(dropped)
    monkeypatch.setattr(guaranteed_shards, "hopeless_ways", lambda *_: frozenset())
    assert found == compress("all.zarr")


@pytest.mark.parametrize(
    "guarantee",
    [Guarantee("max-error", max_error=0.5), Guarantee("min-psnr", min_psnr=35, peak=200.0)],
    ids=lambda guarantee: guarantee.kind,
)
def test_what_is_left_out_is_not_made_but_something_always_is(guarantee):
    shard, rules = shard_of(guarantee)
    kinds = [way.kind for way in ways(shard, rules, keep_latents=False)]
    assert len(set(kinds)) == len(kinds) > 3
    assert kinds[-1] == AS_IT_IS
    for kind in kinds:
        left = [way.kind for way in ways(shard, rules, keep_latents=False, without={kind})]
        assert left == [other for other in kinds if other != kind]
    (only,) = ways(shard, rules, keep_latents=False, without=set(kinds))
    assert only.kind == AS_IT_IS


@pytest.mark.parametrize(
    "guarantee",
    [Guarantee("max-error", max_error=0.5), Guarantee("min-psnr", min_psnr=35, peak=200.0)],
    ids=lambda guarantee: guarantee.kind,
)
def test_a_part_of_a_shard_is_kept_as_those_samples_alone_would_be(guarantee):
    shard, rules = shard_of(guarantee)
    chosen = _spread_runs(24, 9)
    held = (shard.samples, shard.verbatim, shard.latents, shard.reconstruction, shard.uncovered)
    alone = ShardSamples(*(values[chosen] for values in held))
    pair = (ways(part, rules, keep_latents=True) for part in (_part(shard, chosen), alone))
    for found, expected in zip(*pair, strict=True):
        assert (found.kind, found.mode, found.step) == (expected.kind, expected.mode, expected.step)
        assert found.rows.keys() == expected.rows.keys()
        for name, rows in found.rows.items():
            np.testing.assert_array_equal(rows, expected.rows[name])


@pytest.mark.parametrize(("count", "chosen"), [(3, 1), (6, 2), (24, 8), (100, 7), (1000, 256)])
def test_as_many_samples_as_a_chunk_has_from_all_over(count, chosen):
    marks = _spread_runs(count, chosen)
    assert marks.sum() == chosen
    assert marks[0]
    assert chosen < 4 or marks[-count // 4 :].any()
