import numpy as np
import pytest

from engine.training import principal_directions as module
from engine.training.principal_directions import principal_directions


def correlated(rows, elements, mean=0.0):
    """Samples whose variance falls off quickly from direction to direction."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(elements, elements))).Q
    spread = 2.0 ** -np.arange(elements)[:, None]
    return mean + (basis @ (spread * rng.normal(size=(elements, rows)))).T


def in_batches(samples, size):
    return lambda: iter(np.split(samples, range(size, len(samples), size)))


@pytest.mark.parametrize("size", [1, 37, 500])
def test_batches_give_the_eigenvectors_of_the_covariance(size):
    samples = correlated(500, 12, mean=1e4)
    found = principal_directions(in_batches(samples, size), 12)
    np.testing.assert_allclose(found.mean, samples.mean(axis=0), rtol=1e-12)
    covariance = np.cov(samples.T, bias=True)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(12), atol=1e-12)
    np.testing.assert_allclose(
        found.vectors.T @ covariance @ found.vectors, np.diag(found.variances), atol=1e-9
    )
    assert (np.diff(found.variances) <= 0).all()


def test_a_sketch_finds_the_leading_directions_of_wide_samples(monkeypatch):
    samples = correlated(800, 60)
    exact = principal_directions(in_batches(samples, 100), 60)
    monkeypatch.setattr(module, "EXACT_ELEMENTS", 59)
    monkeypatch.setattr(module, "SKETCHED_DIRECTIONS", 16)
    sketched = principal_directions(in_batches(samples, 100), 60)
    assert sketched.vectors.shape == (60, 16)
    np.testing.assert_allclose(sketched.variances[:8], exact.variances[:8], rtol=1e-4)
    alike = np.abs((sketched.vectors[:, :8] * exact.vectors[:, :8]).sum(axis=0))
    np.testing.assert_allclose(alike, 1, atol=1e-4)


def test_one_sample_has_no_variance():
    found = principal_directions(in_batches(np.ones((1, 3)), 1), 3)
    np.testing.assert_array_equal(found.variances, 0)
    np.testing.assert_array_equal(found.mean, 1)
