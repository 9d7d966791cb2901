"""One process for all the jobs that are interrupted, and the jobs, with each set of options."""

import numpy as np
import pytest

from .interruptions import FailingProcess, Job

# Further arguments of `engine.compress`; every law of interruption holds with each set of them.
OPTION_SETS = [
    {},
    pytest.param({"max_error": 30.0}, marks=pytest.mark.slow),
    pytest.param({"lossless": True, "keep_latents": False}, marks=pytest.mark.slow),
]
SAMPLES, COPIES = 96, 16


@pytest.fixture(scope="session")
def failing_process():
    process = FailingProcess()
    yield process
    process.close()


@pytest.fixture(scope="session", params=OPTION_SETS, ids=str)
def options(request):
    return request.param


@pytest.fixture(scope="session")
def few(digits, digit_labels):
    """96 digits and their labels."""
    spread = slice(None, None, len(digits) // SAMPLES)
    return digits[spread][:SAMPLES], digit_labels[spread][:SAMPLES]


@pytest.fixture(scope="session")
def interrupted(few, make_codec, failing_process, options, tmp_path_factory):
    """A short job of 12 shards."""
    sizes = {"chunk_samples": 4, "shard_samples": 8}
    codec = make_codec(few[0], 4)
    return Job(failing_process, tmp_path_factory.mktemp("few"), *few, codec, **sizes, **options)


@pytest.fixture(scope="session")
def interrupted_long(few, make_codec, failing_process, options, tmp_path_factory):
    """A job of 192 shards."""
    data, labels = (np.concatenate([array] * COPIES) for array in few)
    folder, codec = tmp_path_factory.mktemp("many"), make_codec(few[0], 4)
    return Job(failing_process, folder, data, labels, codec, shard_samples=8, **options)


@pytest.fixture(scope="session")
def overwriting(interrupted):
    """The short job where it replaces another store."""
    return interrupted.overwriting(step=2.0)


@pytest.fixture(params=["fresh", "overwriting"])
def any_job(request, interrupted, overwriting):
    """The short job, and the short job where it replaces another store."""
    return {"fresh": interrupted, "overwriting": overwriting}[request.param]
