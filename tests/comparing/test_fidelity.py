"""How near decoded samples are to the originals."""

import numpy as np
import pytest

from engine.comparing.fidelity import max_abs_error, measure_fidelity


def test_errors_of_images():
    original = np.zeros((4, 8, 8), np.uint8)
    decoded = original.copy()
    decoded[0] = 16
    found = measure_fidelity(original, decoded)
    assert found.max_abs_error == 16
    assert found.psnr_db == pytest.approx(10 * np.log10(255**2 / (16**2 / 4)))
    assert found.recall_at_10 is None and found.cosine_similarity is None


def test_what_comes_back_bit_for_bit_is_exact():
    original = np.array([[1.5, np.nan, np.inf]], np.float32)
    assert measure_fidelity(original, original).psnr_db == np.inf
    assert measure_fidelity(original, original).max_abs_error == 0


def test_a_lost_mask_is_an_infinite_error():
    original = np.array([1, np.nan], np.float32)
    assert max_abs_error(original, np.array([1.5, np.nan], np.float32)) == 0.5
    assert max_abs_error(original, np.array([1, 0], np.float32)) == np.inf
    assert max_abs_error(original, np.array([np.nan, np.nan], np.float32)) == np.inf
    assert measure_fidelity(original[None], np.zeros((1, 2), np.float32)).psnr_db == -np.inf


def test_vectors_are_compared_by_their_neighbours():
    vectors = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    exact = measure_fidelity(vectors, vectors)
    assert exact.recall_at_10 == 1 and exact.inner_product_error == 0
    assert exact.cosine_similarity == pytest.approx(1)
    rng = np.random.default_rng(1)
    near, far = (
        measure_fidelity(vectors, vectors + scale * rng.standard_normal(vectors.shape, np.float32))
        for scale in (0.05, 1.0)
    )
    assert 1 > near.recall_at_10 > 0.8 > far.recall_at_10 > 0
    assert 1 > near.cosine_similarity > 0.99 > far.cosine_similarity
    assert 0 < near.inner_product_error < far.inner_product_error


def test_recall_ignores_lengths_as_cosine_does():
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    scaled = vectors * np.linspace(0.5, 2, 50, dtype=np.float32)[:, None]
    assert measure_fidelity(vectors, scaled).recall_at_10 == 1


def test_few_vectors_have_no_neighbours():
    vectors = np.ones((10, 4), np.float32)
    assert measure_fidelity(vectors, vectors).recall_at_10 is None


def test_integers_and_numbers_alone_are_no_vectors():
    assert measure_fidelity(*[np.ones((50, 4), np.int16)] * 2).recall_at_10 is None
    assert measure_fidelity(*[np.ones((50, 1), np.float32)] * 2).recall_at_10 is None


def test_fill_values_do_not_widen_the_range():
    original = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    decoded = original + np.float32(0.01)
    original[0, 0] = decoded[0, 0] = -9999
    wide, narrow = (measure_fidelity(original, decoded, fills) for fills in ((), (-9999,)))
    assert narrow.psnr_db < 41 < wide.psnr_db
