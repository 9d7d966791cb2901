"""The data that the benchmark of bounded codecs measures on."""

import numpy as np

from bench.fields import land_mask, turbulent_fields


def test_fields_have_the_spectrum_of_turbulence_and_move_slowly():
    fields = turbulent_fields(200, seed=2)
    np.testing.assert_array_equal(fields[:3], turbulent_fields(200, seed=2)[:3])
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0)[0]
    slope = np.log(power[8] / power[2]) / np.log(8 / 2)
    assert -3.2 < slope < -2.4  # of one mode: k^-5/3 over the 2 pi k of its ring, and dissipation
    assert np.corrcoef(fields[0].ravel(), fields[1].ravel())[0, 1] > 0.8
    assert 0.25 < land_mask().mean() < 0.35
