"""Makes the store that attacks are made of: `python -m tests.attacks.make_good_store`."""

import shutil

import engine
from engine import Codec
from engine.codec.sample_format import SampleFormat
from engine.runtime.packing import pack_networks
from tests.attacks.make_attacks import GOOD_STORE, HERE
from tests.conftest import principal_components
from tests.kept_stores import CHUNK_SAMPLES, SHAPE, SHARD_SAMPLES, mixed, sidecars, smooth


def main():
    """A store of float32 samples (4, 6) whose shards have residuals and patches, with sidecars."""
    data = mixed()
    shutil.rmtree(HERE / GOOD_STORE, ignore_errors=True)
    smooth_data = smooth()
    bounds = (float(smooth_data.min()), float(smooth_data.max()))
    sample = SampleFormat(SHAPE, smooth_data.dtype, SHAPE, bounds)
    networks = principal_components(sample.to_network(smooth_data), 2)
    codec = Codec(pack_networks(*networks, sample, smooth_data, 16, training={}), "cpu")
    engine.compress(
        data,
        HERE / GOOD_STORE,
        codec,
        max_error=0.01,
        sidecars=sidecars(),
        chunk_samples=CHUNK_SAMPLES,
        shard_samples=SHARD_SAMPLES,
        device="cpu",
    )


if __name__ == "__main__":
    main()
