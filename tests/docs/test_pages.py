"""The pages of `docs/`: what they show runs, and the index lists them all."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import engine
from engine.store.contents import StoreContents

from ..kept_stores import KINDS
from ..laws import same_values
from ..test_golden import GOLDEN
from .format_page import DOCS, section

# Samples that each prediction is good for, and how they are kept: see `test_every_way_occurs`.
DATA = {
    "blocks": ("int32", {"max_error": 2, "portable": True}),
    "field": ("float64", {"min_psnr": 60, "portable": True}),
    "gaps": ("float16", {"max_error": "0.1%", "portable": True}),
    "walk": ("uint64", {"lossless": True, "portable": True}),
    "short walk": ("int32", {"lossless": True}),
    "noise": ("uint16", {"lossless": True}),
    "rough field": ("float32", {"max_error": "0.1%"}),
}
WAYS = {"latents", "residuals", "quantised", "verbatim", "patched"}
CODINGS = {"none", "differences", "median", "linear", "planes", "pcodec"}


@pytest.fixture(scope="module")
def blocks_of_code():
    """The code blocks of the page that decodes without the engine: plain, rANS, guaranteed."""
    page = (DOCS / "decoding-without-engine.md").read_text()
    unguaranteed, entropy_coded, guaranteed = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return unguaranteed, entropy_coded, guaranteed


@pytest.fixture(scope="module")
def run_alone(tmp_path_factory):
    """What an expression makes of `path`, for each path, in a fresh process without engine."""
    folder = tmp_path_factory.mktemp("alone")

    def run(source, expression, paths):
        call = f"""
import sys
for place, path in enumerate(sys.argv[1:]):
    np.save(f"{{place}}.npy", {expression})
names = [name for name in sys.modules if name.split(".")[0] in ("engine", "cuda_kernels", "torch")]
if names:
    sys.exit(f"imported {{names}}")
"""
        (folder / "alone.py").write_text(source + call)
        command = [sys.executable, "-I", "alone.py", *map(str, paths)]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return [np.load(folder / f"{place}.npy") for place in range(len(paths))]

    return run


@pytest.fixture(scope="module")
def decode_alone(blocks_of_code, run_alone):
    """The page's `decode(path, rows)`."""

    def decode(path, rows):
        (samples,) = run_alone(blocks_of_code[0], f"decode(path, {rows!r})", [path])
        return samples

    return decode


@pytest.fixture(scope="module")
def decode_shards_alone(blocks_of_code, run_alone):
    """All samples by the page's `decode_shards(path)`, of each path."""
    expression = "np.concatenate(list(decode_shards(path)))"
    return lambda paths: run_alone(blocks_of_code[2], expression, paths)


@pytest.fixture(scope="module")
def predicted(make_codec, tmp_path_factory):
    """The stores of `DATA`: no network is worth its bytes there."""
    folder = tmp_path_factory.mktemp("predicted")
    stores = {}
    for kind, (dtype, options) in DATA.items():
        data = make_data(kind).astype(dtype)
        codec = make_codec(np.nan_to_num(data), 1, bits=16)
        sizes = {"chunk_samples": 8, "shard_samples": 24, "keep_latents": False}
        stores[kind] = folder / f"{kind}.zarr"
        engine.compress(data, stores[kind], codec, device="cpu", **sizes, **options)
    return stores


def make_data(kind):
    """50 samples, so that the last of three shards and its only chunk are short."""
    rng = np.random.default_rng(0)
    if kind == "blocks":
        samples = np.zeros((50, 12, 12))
        for i, j, height, width, grey in rng.integers(
            (0, 0, 2, 2, -900), (9, 9, 9, 9, 900), (300, 5)
        ):
            samples[rng.integers(50), i : i + height, j : j + width] += grey
        return samples
    if kind.endswith("walk"):
        return np.cumsum(rng.integers(-3, 4, (50, 5, 4)), axis=0)  # unsigned ones wrap
    if kind == "noise":
        return rng.integers(0, 1 << 16, (50, 6, 6))
    samples = rng.normal(size=(50, 14, 14)).cumsum(1).cumsum(2)
    if kind == "gaps":
        samples[::7, 3] = np.nan
        samples[:, 4, 4] = -5e4
    return samples


@pytest.fixture(scope="module")
def store(digits, digits_codec, tmp_path_factory):
    """300 digits in three shards, the last one short, written with a step of its own."""
    path = tmp_path_factory.mktemp("store") / "digits.zarr"
    data = digits[::16][:300]
    sizes = {"chunk_samples": 16, "shard_samples": 112}
    engine.compress(data, path, digits_codec, step=2.0, portable=True, device="cpu", **sizes)
    return path


@pytest.mark.parametrize("rows", [slice(100, 120), slice(290, None), [299, 5, 112, 111]])
def test_zarr_and_onnxruntime_decode_a_store(decode_alone, store, rows):
    decoded = decode_alone(store, rows)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, engine.open(store, device="cpu")[rows])


def test_latents_coded_by_rans_are_decoded(blocks_of_code, run_alone):
    (reference,) = re.findall(r"```python\n(.*?)```", section("3.9"), re.DOTALL)
    source = "\n".join([reference, *blocks_of_code[:2]])
    shards = "[decode(path, None, shard_latents(path, shard)) for shard in range(3)]"
    (decoded,) = run_alone(source, f"np.concatenate({shards})", [GOLDEN / "format-1-rans.zarr"])
    with np.load(GOLDEN / "expected-rans.npz") as expected:
        np.testing.assert_array_equal(decoded, expected["decoded"], strict=True)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float16", "float32", "float64"])
def test_other_dtypes_are_finished_alike(decode_alone, make_codec, dtype, tmp_path):
    rows, columns = np.indices((60, 12))
    data = ((rows % 7 - 3) * (columns - 5) * 100 + rows).astype(dtype)
    engine.compress(data, tmp_path / "s.zarr", make_codec(data, 2, bits=16), device="cpu")
    decoded = decode_alone(tmp_path / "s.zarr", slice(0, 60))
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, engine.open(tmp_path / "s.zarr", device="cpu")[:])


def test_integers_are_clipped_to_their_dtype(decode_alone, make_codec, tmp_path):
    data = np.repeat(np.array([[0], [255]], np.uint8), 24, axis=1)
    codec = make_codec(data, 1)
    engine.compress(data, tmp_path / "s.zarr", codec, step=2.0, device="cpu")
    reconstruction = codec.reconstruct(engine.open(tmp_path / "s.zarr").latents[:], 2.0)
    assert reconstruction.min() < 0 and reconstruction.max() > 255
    decoded = decode_alone(tmp_path / "s.zarr", slice(0, 2))
    assert decoded.min() == 0 and decoded.max() == 255


def test_stores_of_every_guarantee_are_decoded(decode_shards_alone, kept_store):
    stores = [kept_store(kind).path for kind in KINDS]
    for path, decoded in zip(stores, decode_shards_alone(stores), strict=True):
        expected = engine.open(path, device="cpu")[:]
        assert decoded.dtype == expected.dtype
        # Shards and blocks are batches of other sizes: networks may differ in the last bits.
        np.testing.assert_allclose(decoded, expected, rtol=0, atol=1e-5, err_msg=str(path))


def test_predictions_are_undone(decode_shards_alone, predicted):
    decoded = decode_shards_alone(predicted.values())
    for (kind, path), samples in zip(predicted.items(), decoded, strict=True):
        assert same_values(samples, engine.open(path, device="cpu")[:]), kind


def test_every_way_occurs(predicted, kept_store):
    """In the shards of the two tests above, or they would show little."""
    ways, codings = set(), set()
    for path in [*predicted.values(), *(kept_store(kind).path for kind in KINDS)]:
        contents = StoreContents(path)
        there = [name for name in contents.arrays if contents.stored_bytes(name)]
        ways |= set(there)
        for name in {"residuals", "quantised", "verbatim"} & set(there):
            codings |= set(coding((path / "data/part-0" / name / "zarr.json").read_text()))
    assert ways >= WAYS
    assert codings == CODINGS


def coding(document):
    """The predictions in a `zarr.json`, and how the values became bytes."""
    attributes = json.loads(document)["attributes"]
    integers = attributes.get("bytes_of", "int8").lstrip("u").startswith("int")
    if "prediction" not in attributes and integers:
        yield "none"
    yield from (name for name, step in attributes.get("prediction", {}).items() if step)
    yield from {"planes"} if "bytes_of" in attributes else ()
    yield from {"pcodec"} if "numcodecs.pcodec" in document else ()


def test_decoding_takes_few_lines(blocks_of_code):
    lines = [len([line for line in code.splitlines() if line]) for code in blocks_of_code]
    assert lines[0] <= 15
    assert lines[1] <= 20
    assert lines[2] <= 56


def test_the_index_lists_every_page():
    listed = re.findall(r"^- \[([^]]+)\]\(\1\): .+\.$", (DOCS / "README.md").read_text(), re.M)
    assert sorted(listed) == sorted(p.name for p in DOCS.glob("*.md") if p.name != "README.md")
