"""Every way to keep a shard holds the promise for every reader that drifts as far as is allowed."""

import math

import numpy as np
import pytest

from engine.guarantee import Guarantee
from engine.jobs.rules import make_rules
from engine.jobs.survey import survey
from engine.jobs.ways import ShardSamples, _carried, ways
from engine.sources import open_source
from engine.store.ledger import Mode

from .promises import broken, moved, same

SHAPE = (12, 5, 7)
LATENTS = np.arange(12, dtype="i1").reshape(12, 1)
DTYPES = [f"{kind}{size}" for kind in "ui" for size in (1, 2, 4, 8)] + ["f2", "f4", "f8"]
LIMITED = {"f2": 6e4, "f4": 3e38, "f8": 1.7e308}


def draw(rng, dtype):
    """Samples around some level, some of them strange."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        samples = rng.normal(300, 30, SHAPE)
        samples[0] = 300.0
        samples[1] = rng.normal(0, LIMITED[dtype.str[1:]] / 10, SHAPE[1:])
        samples[2, 0] = -0.0
        samples[3] = np.finfo(dtype).smallest_subnormal * rng.integers(-9, 9, SHAPE[1:])
        samples[4, :, 2] = (math.nan, math.inf, -math.inf, LIMITED[dtype.str[1:]], math.nan)
        samples[5] = -9999.0
        return samples.astype(dtype)
    limits = np.iinfo(dtype)
    samples = rng.integers(20, 90, SHAPE).astype(dtype)
    samples[0] = 30
    samples[1] = rng.integers(limits.min, limits.max, SHAPE[1:], dtype, endpoint=True)
    samples[2, 0], samples[2, 1] = limits.min, limits.max
    return samples


def working(dtype):
    """Dtype of what a decoder returns for samples of `dtype`."""
    dtype = np.dtype(dtype)
    wide = dtype.itemsize > 4 or (dtype.kind in "iu" and dtype.itemsize > 2)
    return np.dtype("f8" if wide else "f4")


def decoded(rng, samples, distance):
    """What a decoder makes of samples: some of it near, some far, some no number."""
    with np.errstate(all="ignore"):
        y = np.nan_to_num(samples.astype("f8")) + rng.normal(0, distance, SHAPE)
    y[6] = rng.normal(0, 1000, SHAPE[1:])
    y[7, :2] = np.rint(y[7, :2]) + 0.5  # where a rounding may go either way
    y[8, 0, :3] = math.nan, math.inf, -1e30
    with np.errstate(over="ignore"):
        return y.astype(working(samples.dtype))


def read(way, y, dtype):
    """The samples that a way holds, by the formula of the format, written once more."""
    if way.mode is Mode.VERBATIM:
        return way.rows["verbatim"]
    name = {Mode.RESIDUALS: "residuals", Mode.QUANTISED: "quantised"}.get(way.mode)
    k = way.rows[name].astype("f8") if name else 0.0
    y = np.full(SHAPE, way.base) if way.mode is Mode.QUANTISED else y.astype("f8")
    with np.errstate(all="ignore"):
        value = y + k * way.step
        if dtype.kind == "f":
            samples = value.astype(dtype)
        else:
            limits = np.iinfo(dtype)
            # Neighbours of 2**63 and 2**64 that are integers of the dtype, too.
            high = np.nextafter(2.0**64, 0) if dtype == "u8" else float(limits.max)
            high = np.nextafter(2.0**63, 0) if dtype == "i8" else high
            samples = np.clip(np.rint(np.nan_to_num(value)), limits.min, high).astype(dtype)
    if "patched" in way.rows:
        mask = way.rows["patched"].astype(bool)
        samples = np.where(mask, way.rows["patches"], samples)
    return samples


def check(samples, y, guarantee, room, rng):
    """All ways hold for readers at both ends, and at random and at rounding drifts."""
    with open_source(samples) as source:
        found = survey(source, guarantee.fill_values)
    rules = make_rules(guarantee, samples.dtype, found, room)
    shard = ShardSamples(samples, found.verbatim(samples), LATENTS, y)
    modes = set()
    for way in ways(shard, rules, keep_latents=False):
        modes.add(way.mode)
        assert ("latents" in way.rows) == way.mode.needs_network
        nominal = read(way, y, samples.dtype)
        outwards = np.where(nominal > samples, 1, -1)  # what was off is then farther off
        for signs in (-1, 1, 0, outwards, -outwards, rng.choice((-1, 1), SHAPE), rng.random(SHAPE)):
            result = read(way, moved(y, room * signs), samples.dtype)
            assert broken(result, samples, guarantee) == 0, (way.mode, signs)
        check_errors(way, nominal, samples)
    return modes


def check_errors(way, nominal, samples):
    """The errors that it reports are those of a reader without drift."""
    with np.errstate(all="ignore"):
        apart = np.abs(nominal.astype("f8") - samples.astype("f8"))
    apart[same(nominal, samples)] = 0
    np.testing.assert_array_equal(way.max_abs_error, apart.max(axis=(1, 2)))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(way.sum_squared_error, np.square(apart).sum(axis=(1, 2)), 1e-12)


PROMISES = {
    "lossless": lambda fill: Guarantee("lossless", fill_values=fill),
    **{
        f"max-error {error}": lambda fill, error=error: Guarantee(
            "max-error", max_error=error, fill_values=fill
        )
        for error in (0.0, 1e-7, 0.25, 2.9, 70.0, 7e4)
    },
    **{
        f"min-psnr {decibels}": lambda fill, decibels=decibels: Guarantee(
            "min-psnr", min_psnr=decibels, peak=255.0, fill_values=fill
        )
        for decibels in (5.0, 40.0, 90.0)
    },
}


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_way_holds_for_every_reader(dtype, promise):
    rng = np.random.default_rng([DTYPES.index(dtype), *promise.encode()])
    samples = draw(rng, dtype)
    fill = (-9999.0,) if samples.dtype.kind == "f" else ()
    modes = set()
    for distance, room in ((0.1, 1e-5), (3.0, 1e-3), (3.0, 0.3), (1e-9, 1e-12)):
        y = decoded(rng, samples, distance)
        modes |= check(samples, y, PROMISES[promise](fill), room, rng)
    assert Mode.VERBATIM in modes


def shard_of(samples, y, guarantee, room=1e-4):
    with open_source(samples) as source:
        found = survey(source, guarantee.fill_values)
    shard = ShardSamples(samples, found.verbatim(samples), LATENTS, y)
    return shard, make_rules(guarantee, samples.dtype, found, room)


FIELD = np.random.default_rng(3).normal(0, 10, SHAPE).astype("f4")
WITHIN = Guarantee("max-error", max_error=0.5)


def modes_of(*arguments, keep_latents=False):
    return [way.mode for way in ways(*arguments, keep_latents=keep_latents)]


def test_a_reconstruction_within_the_bound_needs_no_residuals():
    modes = modes_of(*shard_of(FIELD, FIELD + np.float32(0.1), WITHIN))
    assert modes[0] is Mode.LATENTS
    assert modes[-1] is Mode.VERBATIM


def test_a_reconstruction_beyond_it_has_residuals():
    shard, rules = shard_of(FIELD, FIELD + np.float32(3.3), WITHIN)
    first, *_ = ways(shard, rules, keep_latents=False)
    assert first.mode is Mode.RESIDUALS
    assert first.rows.keys() == {"latents", "residuals"}
    assert set(np.unique(first.rows["residuals"])) <= {-4, -3}


def test_without_a_network_or_with_one_that_drifts_too_far_the_plain_ways_are_left():
    shard, rules = shard_of(FIELD, FIELD, WITHIN, room=0.6)
    assert set(modes_of(shard, rules)) == {Mode.QUANTISED, Mode.VERBATIM}
    bare = ShardSamples(FIELD, None, None, None)
    assert set(modes_of(bare, rules.without_network())) == {Mode.QUANTISED, Mode.VERBATIM}


def test_latents_are_kept_wherever_that_is_asked_for():
    shard, rules = shard_of(FIELD, FIELD, WITHIN)
    assert all("latents" in way.rows for way in ways(shard, rules, keep_latents=True))
    assert ["latents" in way.rows for way in ways(shard, rules, keep_latents=False)] == [
        mode.needs_network for mode in modes_of(shard, rules)
    ]


def test_a_sample_that_costs_more_than_itself_is_an_exception():
    samples = FIELD.copy()
    samples[4] = 1e4  # constant, and far from what the network makes of it
    y = samples + np.float32(0.1)
    y[4] = np.random.default_rng(0).normal(0, 1000, SHAPE[1:])
    found = [way.fields() for way in ways(*shard_of(samples, y, WITHIN), keep_latents=False)]
    assert [fields["exceptions"] for fields in found[:2]] == [0, 1]
    assert found[1]["mode"] is Mode.LATENTS
    assert found[1]["patches"] == samples[4].size


def test_under_a_psnr_only_the_samples_that_need_residuals_have_some():
    y = FIELD + np.float32(0.01)
    y[3:5] += 5
    guarantee = Guarantee("min-psnr", min_psnr=40, peak=50.0)
    found = list(ways(*shard_of(FIELD, y, guarantee), keep_latents=False))
    assert found[0].mode is Mode.LATENTS  # the two are exceptions
    assert found[0].fields()["exceptions"] == 2
    second = found[1]
    assert second.mode is Mode.RESIDUALS
    assert second.rows["residuals"].any(axis=(1, 2)).nonzero()[0].tolist() == [3, 4]


def test_without_a_promise_the_network_has_what_it_can_and_the_rest_is_kept():
    samples = FIELD.copy()
    samples[2, 1, 1] = math.nan
    y = FIELD.copy()
    y[5] = math.inf
    shard, rules = shard_of(samples, y, Guarantee(nonfinite="keep"), room=0.0)
    (only,) = ways(shard, rules, keep_latents=False)
    assert only.mode is Mode.LATENTS
    assert only.fields()["patches"] == 1 + FIELD[5].size
    np.testing.assert_array_equal(only.rows["patched"].nonzero()[0], [2] + [5] * FIELD[5].size)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4"])
def test_what_is_patched_carries_the_value_before(dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(-9, 9, (40, 11)).astype(dtype)
    patched = (rng.random((40, 11)) < np.linspace(0, 1, 40)[:, None]).astype(np.uint8)
    expected = values.copy()
    for row, gaps in zip(expected, patched, strict=True):
        kept = np.flatnonzero(gaps == 0)
        for place in np.flatnonzero(gaps):
            row[place] = row[[*kept[kept < place][-1:], *kept[:1], 0][0]]
    np.testing.assert_array_equal(_carried(values, patched), expected)
