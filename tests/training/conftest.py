"""Small data that an autoencoder can learn something of, and the quick way to train on them."""

import numpy as np
import pytest
import torch

from engine.sources import open_source
from engine.training import fit


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread():
    """On a busy machine, threads that wait for each other cost small networks dearly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_samples():
    """Smooth float32 samples within [0, 1]: `make_samples(count, shape, seed=0)`."""

    def make(count, shape, seed=0):
        rng = np.random.default_rng(seed)
        phase = np.linspace(0, 3, int(np.prod(shape)))
        frequency, offset = rng.uniform(0, 3, (2, count, 1))
        waves = (1 + np.sin(frequency * phase + offset)) / 2
        return waves.astype(np.float32).reshape(count, *shape)

    return make


@pytest.fixture(scope="session")
def train():
    """Train on samples that are what the network sees: `train(samples, **options)`."""

    def run(samples, **options):
        settings = {"arch": "dense", "latent_dim": 3, "epochs": 2, "batch_size": 8} | options
        network_shape = samples.shape[1:]
        return fit(
            open_source(samples),
            network_shape=network_shape,
            to_network=np.float32,
            device="cpu",
            **settings,
        )

    return run


@pytest.fixture(scope="session")
def weights_of():
    """All weights of a trained pair as one vector: `weights_of(trained)`."""

    def concatenate(trained):
        states = (trained.encoder.state_dict(), trained.decoder.state_dict())
        values = [value.flatten().numpy() for state in states for value in state.values()]
        return np.concatenate(values)

    return concatenate
