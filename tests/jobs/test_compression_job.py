"""What a job asks of the machine for the shards it makes."""

import pytest

import engine
from engine.jobs import guaranteed_shards

ROWS = 70


@pytest.fixture
def batches_opened(monkeypatch):
    """How many samples go through networks at once, each time that they are opened."""
    opened, open_networks = [], guaranteed_shards.open_shard_networks

    def noted(codec, step, batch_samples, certificate):
        opened.append(batch_samples)
        return open_networks(codec, step, batch_samples, certificate)

    monkeypatch.setattr(guaranteed_shards, "open_shard_networks", noted)
    return opened


@pytest.mark.parametrize(
    ("batch", "shard_samples", "expected"), [(256, 20, 20), (256, 100, ROWS), (16, 20, 16)]
)
def test_no_batch_is_larger_than_a_guaranteed_shard(
    batch, shard_samples, expected, digits, digits_codec, tmp_path, batches_opened
):
    sizes = {"chunk_samples": 10, "shard_samples": shard_samples}
    path = tmp_path / "it.zarr"
    engine.compress(
        digits[:ROWS], path, digits_codec, device="cpu", max_error=9, batch=batch, **sizes
    )
    assert set(batches_opened) == {expected}
    assert abs(engine.open(path, "cpu")[:].astype(int) - digits[:ROWS]).max() <= 9
