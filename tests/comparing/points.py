"""Points that were never measured, for what is computed from points."""

from engine.comparing.facts import Facts
from engine.comparing.point import Point

SAMPLES = 100


def facts(**changed):
    values = {
        "name": "digits.npy", "samples": 10_000, "sample_shape": (28, 28), "dtype": "uint8",
        "sample_bytes": 784, "value_range": 255.0, "chunk_samples": 64, "train_samples": 4000,
        "test_samples": SAMPLES, "for_samples": 10_000,
    }  # fmt: skip
    return Facts(**(values | changed))


def point(method, size, psnr_db, **changed):
    """A point of `size` bytes a sample without a decoder."""
    values = {
        "method": method, "setting": f"to {psnr_db} dB", "bound": None, "is_ours": False,
        "layout": "sequence", "samples": SAMPLES, "payload_bytes": round(size * SAMPLES),
        "decoder_bytes": 0, "metadata_bytes": 0, "encode_samples_per_s": 1e4,
        "decode_samples_per_s": 1e4, "max_abs_error": 9.0,
    }  # fmt: skip
    return Point(psnr_db=psnr_db, **(values | changed))
