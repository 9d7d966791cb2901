"""The linear baseline."""

import numpy as np
import pytest

from bench.fields import turbulent_fields
from engine.comparing.fidelity import measure_fidelity
from engine.comparing.held_out import HeldOut
from engine.comparing.method import Setting
from engine.comparing.peers.klt import Klt
from engine.comparing.peers.peer import Refused


@pytest.fixture(scope="module")
def split_digits(digits):
    mixed = digits[np.random.default_rng(0).permutation(len(digits))]
    return HeldOut(mixed[:4000], mixed[4000:], 64, len(mixed))


def test_digits_cost_what_a_klt_was_measured_to_cost(split_digits):
    coded = Klt().code(split_digits, Setting("step", 255.0))
    fidelity = measure_fidelity(split_digits.test, coded.decoded)
    assert coded.is_estimate
    assert 14 < coded.payload_bytes / 1000 < 16.5  # about 15.4 bytes at 19.7 dB, on this split
    assert 19.4 < fidelity.psnr_db < 20.0


def test_a_finer_step_costs_more_and_shows_more(split_digits):
    settings = Klt().settings(split_digits)[::4]
    coded = [Klt().code(split_digits, setting) for setting in settings]
    sizes = [one.payload_bytes for one in coded]
    quality = [measure_fidelity(split_digits.test, one.decoded).psnr_db for one in coded]
    assert sizes == sorted(sizes) and quality == sorted(quality)
    assert all(one.decoder_bytes > 28 * 28 * 2 for one in coded)


def test_few_samples_of_many_elements_are_no_problem():
    fields = turbulent_fields(60, seed=3)
    data = HeldOut(fields[:40], fields[40:], 10, 60)
    coded = Klt().code(data, Setting("step", 0.05))
    assert coded.decoded.dtype == np.float32
    assert 10 < measure_fidelity(data.test, coded.decoded).psnr_db < 80


def test_what_it_cannot_take():
    wide = np.zeros((5000, 5000), np.uint8)
    assert Klt().settings(HeldOut(wide, wide[:2], 1, 5002)) == ()
    gaps = np.full((8, 3), np.nan, np.float32)
    with pytest.raises(Refused, match="finite"):
        Klt().code(HeldOut(gaps, gaps, 4, 16), Setting("step", 1.0))
    alike = np.ones((8, 3), np.float32)
    data = HeldOut(alike, alike, 4, 16)
    with pytest.raises(Refused, match="alike"):
        Klt().code(data, Klt().settings(data)[0])
