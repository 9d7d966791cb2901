"""What `docs/format.md` says of guarantees, checked on stores that keep them."""

import json
import re
from typing import get_args

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given

from engine.codec import certificate
from engine.guarantee import Guarantee, Kind, Nonfinite
from engine.store.contents import StoreContents

from ..kept_stores import CHUNK_SAMPLES, SHARD_SAMPLES, SHARDS
from ..laws import same_values
from ..store.test_prediction import predicted_chunks
from .format_page import DOCS, code_words, fields, members, record_layout, tables

PART = "data/part-0"
pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
KEEPING = members(tables("3.8")[0])


def records_of(store):
    """The ledger by the table of 3.7."""
    root = zarr.open_group(store, mode="r")
    (part,) = root.attrs["latent_store"]["variables"]["data"]
    chunked = KEEPING | {"latents"}
    chunks = [SHARD_SAMPLES // CHUNK_SAMPLES if n in chunked else 1 for n in part["arrays"]]
    lossless = root["data"].attrs["guarantee"]["kind"] == "lossless"
    return root[PART]["ledger"][:].view(record_layout(chunks, lossless=lossless))


def test_probes_read_by_the_table(make_codec):
    data = np.random.default_rng(0).normal(size=(40, 5, 7)).astype(np.float32)
    files = make_codec(data, 3, bits=16).files
    content = files.contents["probes.bin"]
    rows = tables("2.6")[0]
    header = {offset: (kind, text) for offset, kind, text in rows[:-3]}
    version, n, p, zero, step, deviation, tolerance = (
        np.frombuffer(content, np.dtype(kind).newbyteorder("<"), 1, int(offset))[0]
        for offset, (kind, _) in header.items()
    )
    expected = certificate.read_certificate(files)
    assert (version, n, p, zero) == (1, *expected.positions.shape, 0)
    assert (step, deviation, tolerance) == (1.0, expected.deviation, expected.tolerance)
    assert tolerance >= 8 * deviation
    assert f"1 to {certificate.MAX_PROBES}" in header["4"][1]
    arrays = (expected.reference, expected.positions, expected.latents)
    end = 40
    for (offset, kind, _), array in zip(rows[-3:], arrays, strict=True):
        dtype = {"latent": files.manifest.latent.dtype}.get(kind.split()[0], kind.split()[0])
        assert offset_of(offset, n, p) == end
        found = np.frombuffer(content, np.dtype(dtype).newbyteorder("<"), array.size, end)
        assert same_values(found.reshape(array.shape).astype(dtype), array)
        end += found.nbytes
    assert end == len(content)


def offset_of(text, n, p):
    """The number that a sum such as `40 + 8np` stands for; a plain number is one, too."""
    fixed, _, factor = text.partition(" + ")
    return int(fixed) + (int(factor.removesuffix("np")) * int(n * p) if factor else 0)


def test_the_guarantee_has_the_members_of_the_table():
    rows = tables("3.3")[1]
    meanings = {row[0]: row[2] for row in rows}
    assert members(rows) == fields(Guarantee)
    assert set(code_words(meanings["kind"])) == set(get_args(Kind))
    assert set(re.findall(r"`(\w+)`:", meanings["nonfinite"])) == set(get_args(Nonfinite))
    values = {"max_error": 1.0, "min_psnr": 30.0, "peak": 9.0}
    for kind in get_args(Kind):
        own = {name for name, text in meanings.items() if text.startswith(f"of `{kind}`")}
        made = Guarantee(kind, **{name: values[name] for name in own})
        assert made.to_json().keys() == own | {"kind", "nonfinite"}
        assert "fill_values" in Guarantee("none", fill_values=(0.0,)).to_json()


def test_shards_have_the_arrays_of_their_mode(kept):
    restored_from = {int(row[0]): set(code_words(row[2])) for row in tables("3.7")[2]}
    optional = {"latents", "patched", "patches"}
    part = zarr.open_group(kept.path, mode="r").attrs["latent_store"]["variables"]["data"][0]
    for shard, record in enumerate(records_of(kept.path)):
        there = set()
        for position, name in enumerate(part["arrays"]):
            place = kept.path / PART / name / "c" / str(shard)
            found = [path for path in (place, *place.glob("**/*")) if path.is_file()]
            assert len(found) == bool(record[f"size_bytes_{position}"])
            there |= {name} if found else set()
            if not found:
                entry = [f"{field[3]}_{position}" for field in tables("3.7")[1]]
                assert not any(np.any(record[field]) for field in entry)
        needed = restored_from[record["mode"]] & (KEEPING | {"latents"})
        assert needed <= there & (KEEPING | {"latents"}) <= needed | optional
        assert ("patched" in there) == ("patches" in there) == bool(record["patches"])
        assert {"quality"} <= there
        assert (record["residual_step"] == 0) == (record["mode"] in (1, 4))


def test_a_lossless_ledger_has_checksums_of_the_samples(kept_store):
    job = kept_store("lossless")
    chunks = [job.data[start : start + CHUNK_SAMPLES] for start in range(0, 22, CHUNK_SAMPLES)]
    expected = [google_crc32c.value(chunk.tobytes()) for chunk in chunks]
    assert records_of(job.path)["samples_crc32c"].reshape(-1).tolist() == expected


def test_arrays_that_keep_a_guarantee(kept):
    group = zarr.open_group(kept.path / PART, mode="r")
    own, samples = str(kept.data.dtype), kept.data.shape
    for name, types, _ in tables("3.8")[0]:
        if name not in group:
            continue
        array = group[name]
        attributes = array.attrs.asdict()
        dtype = attributes.get("bytes_of", str(array.dtype))
        assert dtype in (own if "samples" in types else types.replace(",", "").split())
        planes = "bytes_of" in attributes
        assert array.shape == samples + (np.dtype(dtype).itemsize,) * planes
        assert (array.dtype == np.uint8) or not planes
        assert (array.fill_value, array.chunks[0]) == (0, CHUNK_SAMPLES)
        check_codecs(codecs_of(kept.path / PART / name), array.ndim, planes=planes)
        if "prediction" in attributes:
            known = members(tables("3.8")[2])
            assert attributes["prediction"].keys() <= {
                word.strip("`").split("`")[0] for word in known
            }


def test_portable_stores_use_zstd(kept):
    """And others say that they don't, if they don't."""
    portable = zarr.open_group(kept.path, mode="r").attrs["latent_store"]["portable"]
    codings = {
        codec["name"]
        for name in KEEPING
        if (kept.path / PART / name).exists()
        for codec in codecs_of(kept.path / PART / name)
    }
    assert portable == ("numcodecs.pcodec" not in codings)
    assert portable or not kept.options.get("portable")


def codecs_of(folder):
    document = json.loads((folder / "zarr.json").read_text())
    return document["codecs"][0]["configuration"]["codecs"]


def check_codecs(codecs, axes, *, planes):
    """That they are one of the codings of 3.8, for a Zarr array of so many axes."""
    by_name = {codec["name"]: codec.get("configuration", {}) for codec in codecs}
    if "numcodecs.pcodec" in by_name:
        assert list(by_name) == ["numcodecs.pcodec", "crc32c"]
        return
    item = list(range(1, axes - planes))
    orders = [[*item, 0], [0, *item]]
    order = by_name.pop("transpose", {"order": orders[1]})["order"]
    assert order in [[axes - 1] * planes + order for order in orders]
    assert list(by_name) == ["bytes", "zstd", "crc32c"]


@pytest.fixture(scope="module")
def reference():
    """The functions of the reader that `docs/decoding-without-engine.md` shows."""
    page = (DOCS / "decoding-without-engine.md").read_text()
    namespace = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1], namespace)
    return namespace


@given(case=predicted_chunks())
def test_predictions_are_undone_by_the_rules(reference, case):
    prediction, values = case
    differences = prediction.to_differences(values)
    attribute = json.loads(json.dumps(prediction.to_json()))
    found = reference["undo"](differences.copy(), **attribute)
    assert same_values(found, values.astype(found.dtype))


def test_arrays_hold_what_the_rules_say(kept, reference):
    contents = StoreContents(kept.path)
    for name in KEEPING & contents.arrays.keys():
        grid = contents.arrays[name].grid
        for shard in filter(lambda shard: contents.has(name, shard), range(SHARDS)):
            start, stop = grid.shard_rows(shard)
            expected = reference["values"](contents.zarr_array(name), slice(start, stop))
            chunks = range(-(-(stop - start) // CHUNK_SAMPLES))
            found = np.concatenate([contents.read_chunk(name, shard, c) for c in chunks])
            assert same_values(expected, found[: stop - start].astype(expected.dtype))
