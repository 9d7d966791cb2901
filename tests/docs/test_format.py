"""`docs/format.md` and the code say the same: tables are read from the page, so none can drift."""

import hashlib
import json
import re

import numpy as np
import pytest
import zarr

import engine
from engine.codec import graph, manifest
from engine.codec.sample_format import SampleFormat
from engine.geometry import RowGrid
from engine.guarantee import NO_GUARANTEE, Guarantee
from engine.quality import error_levels
from engine.store import byte_array, head, ledger, writer
from engine.store.arrays import ShardedArray
from engine.store.plan import QUALITY_COLUMNS

from .format_page import (
    PAGE,
    code_words,
    fields,
    matches,
    members,
    record_layout,
    section,
    tables,
    tree_objects,
)

PART = "data/part-0"


@pytest.fixture(scope="module")
def store(digits, digits_codec, tmp_path_factory):
    """100 digits in shards of 48, with a numeric and a text sidecar."""
    path = tmp_path_factory.mktemp("store") / "digits.zarr"
    sidecars = {"labels": np.arange(100), "names": np.array([f"é{i}" for i in range(100)])}
    engine.compress(
        digits[:100],
        path,
        digits_codec,
        sidecars=sidecars,
        chunk_samples=16,
        shard_samples=48,
        device="cpu",
    )
    return path


def test_version():
    assert PAGE.startswith(f"# Format {head.FORMAT_VERSION}\n")
    assert manifest.FORMAT_VERSION == head.FORMAT_VERSION == 1


def test_manifest(digits_codec):
    document = json.loads(digits_codec.files.manifest.to_json())
    whole, sample, latent = tables("2.2")
    assert members(whole) == document.keys()
    assert members(sample) == fields(SampleFormat) == document["sample"].keys()
    assert members(latent) == fields(manifest.LatentFormat) == document["latent"].keys()
    entry = re.search(r"every other file: (.*)", whole[3][2])[1].replace("`", "").split(", ")
    assert set(entry) == fields(manifest.FileEntry)


def test_roles(digits_codec):
    roles = {name: code_words(role)[0] for name, role, _ in tables("2.1")[0]}
    found = {entry.name: entry.role for entry in digits_codec.files.manifest.files}
    assert found.items() <= roles.items()
    assert set(found.values()) == {"encoder", "decoder", "certificate"}


def test_graphs(digits_codec):
    import onnx

    opsets = f"is {graph.OPSETS.start} to {graph.OPSETS.stop - 1}"
    assert f"IR version {graph.IR_VERSION}" in section("2.3") and opsets in section("2.3")
    (signatures, _) = tables("2.3")
    for name, *values, output in signatures:
        model = onnx.load_model_from_string(digits_codec.files.role(name)).graph
        expected = [re.match(r"`(\w+)`:", value)[1] for value in [*values, output]]
        assert [value.name for value in (*model.input, *model.output)] == expected


def test_layout(store, kept_store, tmp_path):
    job = kept_store("max error")
    job.compress(tmp_path / "coarse.zarr", step=2.0, fill_value=None)
    stores = [store, job.path, tmp_path / "coarse.zarr"]
    stores += [kept_store(kind).path for kind in ("quantised", "verbatim")]
    keys = {p.relative_to(s).as_posix() for s in stores for p in s.rglob("*") if p.is_file()}
    patterns = [name for name in tree_objects() if "/commits/" not in name]
    matched = {pattern: {key for key in keys if matches(pattern, key)} for pattern in patterns}
    assert set().union(*matched.values()) == keys
    assert all(matched.values())


def test_head(store):
    document = zarr.open_group(store, mode="r").attrs["latent_store"]
    whole, part, fingerprint = tables("3.2")
    assert members(whole) == document.keys() == fields(head.Head) | {"format", "sha256"}
    assert members(part) == document["variables"]["data"][0].keys() == fields(head.Part)
    assert members(fingerprint) == document["fingerprint"].keys()
    (states,) = [row[2] for row in whole if row[0] == "state"]
    assert {head.WRITING, head.SEALED} == set(re.findall(r"`(\w+)`", states))
    group = {"attributes": {"latent_store": document}, "node_type": "group", "zarr_format": 3}
    assert (store / "zarr.json").read_bytes() == canonical(group) + b"\n"
    claimed = document.pop("sha256")
    assert claimed == hashlib.sha256(canonical(document)).hexdigest()
    identity = hashlib.sha256(canonical(document["fingerprint"])).hexdigest()
    assert document["store_id"] == identity[:32]
    assert document["codec"] == codec_digest(store, document["codec"])


def canonical(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def codec_digest(store, codec):
    text = zarr.open_array(store / "codecs" / codec / "manifest.json", mode="r")[:]
    return hashlib.sha256(text.tobytes()).hexdigest()


def test_the_head_lists_all_but_itself_and_the_shards(store):
    keys = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    document = zarr.open_group(store, mode="r").attrs["latent_store"]
    shards = {
        key
        for key in keys
        for name in document["variables"]["data"][0]["arrays"]
        if key.startswith(f"{PART}/{name}/c/")
    }
    assert document["objects"].keys() == keys - shards - {"zarr.json"}
    for key, (size_bytes, sha256) in document["objects"].items():
        content = (store / key).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size_bytes, sha256)


def test_variable(store):
    assert members(tables("3.3")[0]) == set(zarr.open_group(store / "data", mode="r").attrs)


def test_sharded_arrays(store):
    table = tables("3.4")[0]
    limits = {row[2]: int(row[3]) for row in table[:2]}
    for bits in (8, 16):
        latent = manifest.LatentFormat((1,), bits, (1.0,), (0.0,))
        assert limits[f"int{bits}"] == latent.fill_value < -latent.limit
    (codecs,) = re.findall(r"```json\n(.*?)```", section("3.4"), re.S)
    array = ShardedArray("latents", RowGrid(10, 256, 512), (7,), np.dtype(np.int16), -32768)
    assert json.loads(codecs.replace("L]", "7]")) == json.loads(array.metadata())["codecs"]


def test_quality(store):
    eighths = [float(value) for _, value in tables("3.5")[1]]
    u = 0.37
    levels = [u * (eighths[c % 8] * 2.0 ** (c // 8 - 26)) for c in range(1, 255)]
    assert error_levels(u).tolist() == [0.0, *levels, np.inf]
    assert np.array(eighths) == pytest.approx(2 ** (np.arange(8) / 8), rel=1e-15)
    assert json.dumps(list(QUALITY_COLUMNS)) in section("3.5")


def test_byte_arrays():
    chunks = {
        name: int(re.match(r"\d+", row[3])[0])
        for row in tables("3.6")[0]
        for name in code_words(row[0])
    }
    assert chunks["codecs/<digest>/<file>"] == byte_array.CODEC_CHUNK_BYTES
    assert chunks["data/certificate"] == byte_array.CODEC_CHUNK_BYTES
    assert chunks["ledger"] == writer.LEDGER_CHUNK_RECORDS
    assert chunks["commits"] == 1


@pytest.mark.parametrize("guarantee", [NO_GUARANTEE, Guarantee("lossless")])
def test_record_offsets_are_those_of_the_code(guarantee):
    arrays = [
        ShardedArray(str(chunks), RowGrid(99, 8, 8 * chunks), (), np.dtype(np.uint8), 0)
        for chunks in (3, 1, 1)
    ]
    expected = record_layout([3, 1, 1], lossless=guarantee.kind == "lossless")
    found = ledger.record_dtype(arrays, guarantee)
    assert expected.names == found.names
    assert {n: expected.fields[n][:2] for n in found.names} == {
        n: found.fields[n][:2] for n in found.names
    }
    assert expected.itemsize == found.itemsize
    assert f"start at offset {found.fields['size_bytes_0'][1]}" in section("3.7")


def test_modes():
    assert {row[0]: row[1] for row in tables("3.7")[2]} == {
        str(mode.value): mode.name.lower() for mode in ledger.Mode
    }


def test_a_ledger_reads_by_the_table(store):
    part = zarr.open_group(store, mode="r").attrs["latent_store"]["variables"]["data"][0]
    layout = record_layout([3, 1, 1, 1])
    records = zarr.open_array(store / PART / "ledger", mode="r")[:].view(layout)
    assert records["version"].tolist() == [ledger.RECORD_VERSION] * 3
    assert records["mode"].tolist() == [ledger.Mode.LATENTS] * 3
    assert records["shard"].tolist() == [0, 1, 2]
    assert records["row_start"].tolist() == [0, 48, 96]
    assert records["row_stop"].tolist() == [48, 96, 100]
    for shard, record in enumerate(records):
        for position, name in enumerate(part["arrays"]):
            (object_path,) = [
                p for p in (store / PART / name / "c" / str(shard)).rglob("*") if p.is_file()
            ] or [store / PART / name / "c" / str(shard)]
            content = object_path.read_bytes()
            assert len(content) == record[f"size_bytes_{position}"]
            assert hashlib.sha256(content).digest() == record[f"sha256_{position}"].tobytes()
            assert content[-4:] == record[f"index_crc32c_{position}"].tobytes()
