"""Contexts are chosen where they pay for their model, and nowhere else."""

import numpy as np
import pytest

from engine.jobs.choose_coding import choose_coding
from engine.jobs.choose_context import choose_context
from engine.store.coding import CONTEXT

from ..laws import same_values
from .test_choose_coding import CASES, cut, size


def choose(chunks, samples=100_000):
    other = choose_coding(chunks, portable=False)
    return choose_context(chunks, samples, other), other


def test_smooth_fields_take_a_tenth_less():
    coded, other = choose(CASES["field"])
    assert coded.coding.coder == CONTEXT
    assert size(coded, CASES["field"]) < 0.9 * size(other, CASES["field"])


def test_counts_that_go_on_from_sample_to_sample_are_differences_first():
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.integers(-1, 2, (256, 40)) * rng.integers(0, 30, (1, 40)), axis=0)
    chunks = cut(walks.astype(np.int16), 64)
    coded, _ = choose(chunks)
    assert (coded.coding.coder, coded.prediction.differences) == (CONTEXT, (0,))
    for chunk in chunks:
        found = coded.decode(coded.encode(chunk), chunk.shape, chunk.dtype, "chunk")
        assert same_values(found, chunk)


def test_the_choice_is_the_same_every_time():
    assert choose(CASES["field"]) == choose(CASES["field"])


@pytest.mark.parametrize("name", ["noise", "counts", "long", "decimals", "deep"])
def test_they_are_not_for_everything(name):
    coded, other = choose(CASES[name])
    assert coded is other


def test_few_samples_do_not_pay_for_a_model():
    coded, other = choose(CASES["field"], samples=1)
    assert coded is other


def test_an_only_chunk_will_do():
    coded, _ = choose(CASES["field"][:1])
    assert coded.coding.coder == CONTEXT
