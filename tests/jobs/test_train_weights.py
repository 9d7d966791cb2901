"""`engine.train(weights=...)`: what narrow weights lose, and what they save, of trained codecs."""

import numpy as np
import pytest

import engine
from engine import InvalidInput
from engine.codec.certificate import read_certificate
from engine.codec.files import DECODER, ENCODER
from engine.runtime.drift import certify
from engine.runtime.narrowing import MOST_LOSS_DB, narrow_networks
from engine.runtime.round_trip import RoundTrip, loss_db
from engine.store.byte_array import stored_bytes

TRAINED = {
    "klt": {"target_psnr": 24},
    "klt, of high quality": {"target_psnr": 45},
    "dense": {"latent_dim": 16, "epochs": 2},
    "conv": {"latent_dim": 16, "epochs": 1},
    "transform": {"target_psnr": 22, "epochs": 4},
}
SLOW = ("klt", "klt, of high quality", "conv", "transform")


def train(name, data, folder, **options):
    arch = name.split(",")[0]
    given = {"device": "cpu", "arch": arch} | TRAINED[name]
    return engine.train(data, folder / "a.codec", **given, **options)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in TRAINED]
)
def test_little_is_lost_and_much_is_saved(name, digits, tmp_path):
    """On samples that neither training nor rounding saw."""
    trained, measured, unseen = digits[::2], digits[1::4], digits[3::4]
    files = train(name, trained, tmp_path, weights="float32").files
    own = files.role(ENCODER), files.role(DECODER)
    narrow = narrow_networks(files, trained, measured, "auto")
    exact, error = RoundTrip(*own, measured).own, RoundTrip(*own, unseen).own
    assert loss_db(RoundTrip(narrow.encoder, narrow.decoder, measured).own, exact) <= MOST_LOSS_DB
    assert loss_db(RoundTrip(narrow.encoder, narrow.decoder, unseen).own, error) < 0.03
    most = 0.5 if "high" in name else 0.25
    assert stored_bytes(narrow.decoder) < most * stored_bytes(own[1])


def test_training_keeps_them_narrow_and_says_what_that_lost(digits, tmp_path):
    codec = train("dense", digits[::4], tmp_path)
    measured = codec.manifest.calibration
    assert measured["weights"] == "auto"
    assert measured["weights_loss_db"] <= MOST_LOSS_DB
    assert stored_bytes(codec.files.role(DECODER)) < 16 * 784 * 1.2
    certificate = read_certificate(codec.files)
    assert certify(codec, certificate, "here") <= certificate.accepted
    store = tmp_path / "bounded.zarr"
    engine.compress(digits[:300], store, codec, device="cpu", max_error=40)
    with engine.open(store, device="cpu") as opened:
        apart = np.abs(opened[:].astype(int) - digits[:300])
    assert apart.max() <= 40


def test_other_ways_to_keep_them_are_refused_before_training(digits, tmp_path):
    with pytest.raises(InvalidInput, match="weights must be one of auto"):
        train("dense", digits, tmp_path, weights="int4")
    assert not list(tmp_path.iterdir())
