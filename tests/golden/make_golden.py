"""Makes the golden codec and stores of format 1: `python tests/golden/make_golden.py [FOLDER]`.

Every number is a small multiple of a power of two, so that all sums and products are exact in
float32 and every machine, provider and order of summation gives the same integers.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import engine
from engine.codec.certificate import CERTIFICATE_FILE
from engine.codec.files import CERTIFICATE, CodecFiles, file_entry
from engine.codec.graph import build_decoder, build_encoder, parse_network
from engine.codec.manifest import LatentFormat, Manifest
from engine.codec.sample_format import SampleFormat
from engine.runtime.certification import build_certificate, probe_candidates

HERE = Path(__file__).parent
CODEC, STORE, EXPECTED = "format-1.codec", "format-1.zarr", "expected.npz"
RANS_STORE, RANS_EXPECTED = "format-1-rans.zarr", "expected-rans.npz"
SAMPLES, ROWS, COLUMNS = 37, 6, 5  # three shards of 16; the last has one short chunk, one absent
CHUNK_SAMPLES, SHARD_SAMPLES, STEP = 8, 16, 0.5
RANS_SAMPLES, RANS_STEP = 500, 8.0  # latents of so few bits that zstd can't code them
SAMPLE = SampleFormat(
    shape=(ROWS, COLUMNS),
    dtype=np.dtype(np.uint8),
    network_shape=(ROWS * COLUMNS,),
    data_range=(0.0, 256.0),
    network_range=(-1.0, 1.0),
)
LATENT = LatentFormat(shape=(2, 2), bits=8, scale=(1 / 32, 1 / 16), offset=(0.0, 0.25))


def main(folder: Path) -> None:
    """Write codec, stores and what the stores must decode to, replacing what is there."""
    for name in (CODEC, STORE, RANS_STORE):
        shutil.rmtree(folder / name, ignore_errors=True)
    engine.Codec(codec_files(), "cpu").save(folder / CODEC)
    engine.compress(
        samples(),
        folder / STORE,
        engine.Codec.load(folder / CODEC, "cpu"),
        step=STEP,
        sidecars=sidecars(),
        chunk_samples=CHUNK_SAMPLES,
        shard_samples=SHARD_SAMPLES,
    )
    with engine.open(folder / STORE, device="cpu") as store:
        np.savez(
            folder / EXPECTED,
            original=samples(),
            decoded=store[:],
            latents=store.latents[:],
            **{f"quality_{name}": values for name, values in store.quality.items()},
            **{f"sidecar_{name}": values for name, values in store.sidecars.items()},
        )
    write_rans_store(folder)


def write_rans_store(folder: Path) -> None:
    """Write the store whose latents are coded by rANS, and what it must decode to."""
    codec = engine.Codec.load(folder / CODEC, "cpu")
    sizes = {"chunk_samples": 64, "shard_samples": 192}  # the last shard's chunk 2 is short
    engine.compress(samples(RANS_SAMPLES), folder / RANS_STORE, codec, step=RANS_STEP, **sizes)
    with engine.open(folder / RANS_STORE, device="cpu") as store:
        np.savez_compressed(folder / RANS_EXPECTED, decoded=store[:], latents=store.latents[:])


def samples(count: int = SAMPLES) -> np.ndarray:
    """Slopes with steps on them, the last two black and white; uint8 (count, 6, 5)."""
    sample, row, column = np.indices((count, ROWS, COLUMNS))
    values = 100 + (sample % 7 - 3) * 8 * row - (sample % 5 - 2) * 16 * column
    values += (sample // 3 % 8) * (row + column) % 11
    values[-2], values[-1] = 0, 255
    return values.clip(0, 255).astype(np.uint8)


def sidecars() -> dict[str, np.ndarray]:
    """An integer and a text of 0 to 7 letters, not all of them ASCII, for each sample."""
    numbers = np.arange(SAMPLES, dtype=np.int32)
    words = ["größe", "", "名前", "a", "sample"]
    return {
        "labels": numbers * 1000 - 7,
        "names": np.array([words[i % 5] + str(i) * (i % 2) for i in numbers]),
    }


def codec_files() -> CodecFiles:
    """A linear codec: mean, slopes and twist of a sample, and the way back."""
    encoder, decoder = (parse_network(network, "golden") for network in bare_networks())
    contents = {
        "encoder.onnx": build_encoder(encoder, SAMPLE, LATENT),
        "decoder.onnx": build_decoder(decoder, SAMPLE, LATENT),
    }
    entries = tuple(file_entry(n, n.removesuffix(".onnx"), c) for n, c in contents.items())
    bare = CodecFiles(Manifest(SAMPLE, LATENT, entries), contents)
    candidates = probe_candidates(engine.Codec(bare, "cpu"), samples())
    certificate = build_certificate(bare, candidates).to_bytes()
    entries += (file_entry(CERTIFICATE_FILE, CERTIFICATE, certificate),)
    contents[CERTIFICATE_FILE] = certificate
    return CodecFiles(Manifest(SAMPLE, LATENT, entries), contents)


def bare_networks() -> tuple[bytes, bytes]:
    """Encoder `(batch, 30)` to `(batch, 2, 2)` and decoder `(batch, 2, 2)` to `(batch, 30)`."""
    row, column = (2 * axis.ravel() - axis.max() for axis in np.indices((ROWS, COLUMNS)))
    patterns = np.stack([np.ones_like(row), row, column, row * column // 4])
    gains = np.array([[32], [3], [4], [6]]) / 64  # near 16 / (patterns**2).sum(axis=1)
    encoder = network(
        [("MatMul", "x", "weights"), ("Reshape", "", "latent_shape")],
        ("x", (ROWS * COLUMNS,)),
        LATENT.shape,
        weights=np.float32(patterns.T / 16),
        latent_shape=np.array([-1, *LATENT.shape]),
    )
    decoder = network(
        [("Reshape", "z", "flat_shape"), ("MatMul", "", "weights")],
        ("z", LATENT.shape),
        (ROWS * COLUMNS,),
        weights=np.float32(patterns * gains),
        flat_shape=np.array([-1, len(patterns)]),
    )
    return encoder, decoder


def network(
    steps: list[tuple[str, str, str]],
    takes: tuple[str, tuple[int, ...]],
    gives: tuple[int, ...],
    **constants: np.ndarray,
) -> bytes:
    """A float32 ONNX model of two operators in a row, each with a constant as second operand."""
    (first, value, constant), (second, _, last_constant) = steps
    nodes = [
        helper.make_node(first, [value, constant], ["between"], name=first),
        helper.make_node(second, ["between", last_constant], ["y"], name=second),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(takes[0], TensorProto.FLOAT, ["batch", *takes[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *gives])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
