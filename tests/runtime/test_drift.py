import dataclasses
import threading

import numpy as np
import pytest

from engine import GuaranteeViolated
from engine.codec.certificate import read_certificate
from engine.runtime import drift


@pytest.fixture(autouse=True)
def _nothing_passed_yet(monkeypatch):
    monkeypatch.setattr(drift, "_passed", set())


@pytest.fixture(scope="module")
def certified(digits_codec):
    return digits_codec, read_certificate(digits_codec.files)


class Drifting:
    """An onnxruntime session whose results are moved by what `noise(shape)` returns."""

    def __init__(self, session, noise):
        self.session, self.noise, self.runs = session, noise, 0

    def run(self, names, feeds):
        self.runs += 1
        found = self.session.run(names, feeds)[0].astype(np.float64)
        return [found + self.noise(found.shape)]


def drifting(codec, noise):
    moved = codec.on("cpu")
    moved.decoder.session = Drifting(moved.decoder.session, noise)
    return moved


def constant(amplitude):
    return lambda shape: np.full(shape, amplitude)


def uniform(amplitude):
    rng = np.random.default_rng(0)
    return lambda shape: rng.uniform(-amplitude, amplitude, shape)


@pytest.mark.parametrize("noise", [constant, uniform])
def test_drift_up_to_the_tolerance_is_accepted(certified, noise):
    codec, certificate = certified
    moved = drifting(codec, noise(0.95 * certificate.tolerance))
    found = drift.certify(moved, certificate, "here")
    assert 0.5 * certificate.tolerance < found <= certificate.accepted


@pytest.mark.parametrize("noise", [constant, uniform])
def test_twice_the_tolerance_is_refused_with_both_numbers(certified, noise):
    codec, certificate = certified
    moved = drifting(codec, noise(2 * certificate.tolerance))
    with pytest.raises(GuaranteeViolated, match=r"my\.zarr: cpu decodes") as raised:
        drift.certify(moved, certificate, "my.zarr")
    message = str(raised.value)
    assert f"(accepted: {certificate.accepted:.3g})" in message
    assert "--device cpu" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_result_that_is_not_finite_is_refused(certified, value):
    codec, certificate = certified

    def one_lost(shape):
        noise = np.zeros(shape)
        noise.reshape(shape[0], -1)[-1, int(certificate.positions[-1, 7])] = value
        return noise

    with pytest.raises(GuaranteeViolated, match=r"probes (nan|inf) away"):
        drift.certify(drifting(codec, one_lost), certificate, "here")


def test_drift_of_single_samples_only_is_seen(certified):
    """Batches of other sizes take other paths through a network."""
    codec, certificate = certified
    far = 2 * certificate.tolerance
    with pytest.raises(GuaranteeViolated):
        drift.certify(drifting(codec, lambda s: far * (s[0] == 1)), certificate, "here")
    with pytest.raises(GuaranteeViolated):
        drift.certify(drifting(codec, lambda s: far * (s[0] == 5)), certificate, "here")
    with pytest.raises(GuaranteeViolated):
        drift.certify(drifting(codec, lambda s: far * (s[0] > 5)), certificate, "here")


def test_what_passed_is_run_once_more_only(certified):
    codec, certificate = certified
    moved = drifting(codec, constant(0.0))
    drift.certify(moved, certificate, "here")
    first = moved.decoder.session.runs
    assert first > len(certificate.latents)
    drift.certify(moved, certificate, "there")
    assert moved.decoder.session.runs == first + 1
    other = dataclasses.replace(certificate, tolerance=2 * certificate.tolerance)
    drift.certify(moved, other, "here")
    assert moved.decoder.session.runs == 2 * first + 1


def test_other_threads_are_another_way_through_a_network(certified):
    codec, certificate = certified
    drift.certify(codec.on("cpu", 1), certificate, "here")
    far = 2 * certificate.tolerance
    moved = drifting(codec, lambda shape: far * (shape[0] == 1))
    moved.threads = 1
    drift.certify(moved, certificate, "here")  # at one batch size: as many threads passed
    moved.threads = 2
    with pytest.raises(GuaranteeViolated):
        drift.certify(moved, certificate, "here")


def test_a_session_that_drifts_later_is_refused_though_one_passed(certified):
    codec, certificate = certified
    drift.certify(codec, certificate, "here")
    with pytest.raises(GuaranteeViolated):
        drift.certify(drifting(codec, constant(1.0)), certificate, "here")


def test_what_failed_fails_again(certified):
    codec, certificate = certified
    for _ in range(2):
        with pytest.raises(GuaranteeViolated):
            drift.certify(drifting(codec, constant(1.0)), certificate, "here")
    assert drift.certify(codec, certificate, "here") <= certificate.accepted


def test_threads_may_check_at_once(certified):
    codec, certificate = certified
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(drift.certify(codec, certificate, "here")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
