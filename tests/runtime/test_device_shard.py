"""A shard on the device is kept in the same ways as one on the host, bit for bit."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.codec.certificate import read_certificate
from engine.codec.files import DECODER
from engine.errors import GuaranteeViolated
from engine.guarantee import Guarantee
from engine.jobs.gaps import fill_gaps
from engine.jobs.rules import make_rules
from engine.jobs.survey import survey
from engine.jobs.ways import ShardSamples, ways
from engine.runtime import drift
from engine.runtime.codec import batches
from engine.runtime.device_shard import DeviceNetworks
from engine.runtime.network_lane import LaneDecoder, open_captured_lane
from engine.runtime.quantiser import Bounds, HostQuantiser
from engine.runtime.shard_networks import HostShards, open_shard_networks
from engine.sources import open_source

from ..devices import assert_same_latents, needs_gpu, on_each_device

pytest.importorskip("torch")

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
COUNT, BATCH, READ = 70, 16, 23
ROOM = 0.01


@pytest.fixture(scope="module", params=DTYPES)
def coded(request, make_codec):
    dtype = np.dtype(request.param)
    rng = np.random.default_rng(0)
    waves = np.sin(rng.uniform(0, 6, (COUNT, 1)) + np.arange(60) / 9).reshape(COUNT, 5, 12)
    data = (50 * waves + 60 + rng.normal(size=waves.shape)).clip(0, 120).astype(dtype)
    codec = make_codec(data, 8)
    data[3, 2] = 127  # far from what the network knows
    if dtype.kind == "f":
        data[5, 1, :3] = np.nan, np.inf, -0.0
    return codec, data


def run(networks, samples, found, *, reconstructs=True):
    """The networks over a shard, in batches that fit no lane."""
    started = networks.start(len(samples), reconstructs=reconstructs)
    for start, stop in batches(len(samples), READ):
        batch = samples[start:stop]
        started(slice(start, stop), batch, fill_gaps(batch, found.verbatim(batch), found))
    return started


def surveyed(samples):
    with open_source(samples) as source:
        return survey(source, ())


def assert_equal(one, other):
    assert vars(one).keys() == vars(other).keys()
    for name, values in vars(one).items():
        assert values.dtype == vars(other)[name].dtype
        np.testing.assert_array_equal(values, vars(other)[name], name)


@on_each_device
@pytest.mark.parametrize("base", [None, 61.0])
def test_residuals_are_those_of_the_host(coded, device, base):
    codec, data = coded
    found = surveyed(data)
    verbatim = found.verbatim(data)
    started = run(DeviceNetworks(codec.on(device), 1.0, BATCH), data, found)
    host = run(HostShards(codec, 1.0), data, found)
    assert_same_latents(started.latents, host.latents, device)
    # The same reconstruction for both: what is compared is what becomes of it.
    on_device = started.quantiser(data, verbatim)
    decoded = on_device._reconstruction.cpu().numpy().reshape(data.shape)
    on_host = HostQuantiser(data, verbatim, decoded)
    some = np.arange(COUNT) % 3 == 0
    for step, dtype, rows in ((0.0, "i2", None), (1.5, "i1", None), (0.25, "i4", some)):
        bounds = Bounds(step, ROOM, 0.75)
        one, other = (q(base, bounds, np.dtype(dtype), rows) for q in (on_device, on_host))
        for sums in ("sum_squared_error", "worst_sum_squared_error"):
            np.testing.assert_allclose(vars(one).pop(sums), vars(other).pop(sums), rtol=1e-12)
        assert_equal(one, other)


@on_each_device
@pytest.mark.parametrize(
    "guarantee",
    [
        Guarantee("max-error", max_error=0.75),
        Guarantee("lossless"),
        Guarantee("min-psnr", min_psnr=40.0, peak=120.0),
    ],
    ids=str,
)
def test_all_ways_are_those_of_the_host(coded, device, guarantee):
    codec, data = coded
    found = surveyed(data)
    rules = make_rules(guarantee, data.dtype, found, ROOM)
    started = run(DeviceNetworks(codec.on(device), 1.0, BATCH), data, found)
    verbatim = found.verbatim(data)
    quantiser = started.quantiser(data, verbatim)
    decoded = quantiser._reconstruction.cpu().numpy().reshape(data.shape)
    shards = (
        ShardSamples(data, verbatim, started.latents, reconstruction)
        for reconstruction in (quantiser, decoded)
    )
    one, other = (list(ways(shard, rules, keep_latents=True)) for shard in shards)
    assert len(one) == len(other)
    for way, expected in zip(one, other, strict=True):
        assert (way.mode, way.step, way.base) == (expected.mode, expected.step, expected.base)
        assert way.rows.keys() == expected.rows.keys()
        for name, rows in way.rows.items():
            assert rows.tobytes() == expected.rows[name].tobytes()
        np.testing.assert_array_equal(way.max_abs_error, expected.max_abs_error)
        np.testing.assert_allclose(way.sum_squared_error, expected.sum_squared_error, rtol=1e-12)


@on_each_device
def test_without_reconstruction_nothing_but_latents_is_kept_there(digits_codec, digits, device):
    data = digits[:COUNT]
    found = surveyed(data)
    networks = DeviceNetworks(digits_codec.on(device), 1.0, BATCH)
    started = run(networks, data, found, reconstructs=False)
    assert_same_latents(started.latents, digits_codec.encode(data), device)
    quantiser = started.quantiser(data, None)
    assert isinstance(quantiser, HostQuantiser)
    with pytest.raises(ValueError, match="no reconstruction"):
        quantiser(None, Bounds(1.0, 0.0, 1.0), np.dtype("i2"))


@on_each_device
def test_what_is_not_patched_is_no_mask(digits_codec, digits, device):
    data = digits[:COUNT]
    started = run(DeviceNetworks(digits_codec.on(device), 1.0, BATCH), data, surveyed(data))
    quantiser = started.quantiser(data, None)
    assert not quantiser(None, Bounds(1.0, 0.0, 0.5), np.dtype("i2")).patched.any()
    assert quantiser(None, Bounds(64.0, 0.0, 0.5), np.dtype("i2")).patched.any()


@on_each_device
def test_threads_work_on_shards_of_their_own(digits_codec, digits, device):
    networks, bounds = DeviceNetworks(digits_codec.on(device), 1.0, BATCH), Bounds(3.0, 0.0, 1.0)
    shards, together = np.split(digits[:560], 8), threading.Barrier(4)
    found = surveyed(digits[:560])
    encoded = [run(networks, shard, found) for shard in shards]

    def work(index):
        if index < 4:
            together.wait(60)
        return run(networks, shards[index], found).quantiser(shards[index], None)

    with ThreadPoolExecutor(4) as encoding, ThreadPoolExecutor(3) as writing:
        quantisers = list(encoding.map(work, range(8)))
        results = writing.map(lambda q: q(None, bounds, np.dtype("i2")), quantisers)
        for result, started, shard in zip(results, encoded, shards, strict=True):
            assert_equal(result, started.quantiser(shard, None)(None, bounds, np.dtype("i2")))


@pytest.fixture(scope="module")
def false_certificate(digits_codec):
    """One that speaks of another decoder."""
    certificate = read_certificate(digits_codec.files)
    far = certificate.reference + 2 * certificate.accepted + 1
    return dataclasses.replace(certificate, reference=far)


@on_each_device
def test_every_decoder_passes_the_probes_itself(
    digits_codec, digits, false_certificate, device, monkeypatch
):
    monkeypatch.setattr(drift, "_passed", set())
    codec, found = digits_codec.on(device), surveyed(digits[:COUNT])
    true_certificate = read_certificate(codec.files)
    run(DeviceNetworks(codec, 1.0, BATCH, true_certificate), digits[:COUNT], found)
    assert len(drift._passed) == 1
    refused = DeviceNetworks(codec, 1.0, BATCH, false_certificate)
    with pytest.raises(GuaranteeViolated, match=f"{device} decodes the codec's probes"):
        refused.start(COUNT, reconstructs=True)
    run(refused, digits[:COUNT], found, reconstructs=False)  # nothing leans on the decoder


@on_each_device
def test_a_lane_decodes_probes_as_it_decodes_samples(digits_codec, digits, device):
    codec = digits_codec.on(device)
    lane = open_captured_lane(codec, 2.0, BATCH, (DECODER,))
    latents = digits_codec.encode(digits[:COUNT], 2.0)
    found = LaneDecoder(codec, lane).reconstruct(latents, 2.0)
    expected = digits_codec.reconstruct(latents, 2.0).reshape(COUNT, -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0 if device == "cpu" else 1e-2)
    with pytest.raises(ValueError, match="can't decode at step"):
        LaneDecoder(codec, lane).reconstruct(latents, 1.0)


def test_the_device_decides(digits_codec):
    assert isinstance(open_shard_networks(digits_codec, 1.0), HostShards)


@needs_gpu
def test_on_a_gpu_it_is_the_one_that_is_used(digits_codec):
    assert isinstance(open_shard_networks(digits_codec.on("cuda"), 1.0), DeviceNetworks)
