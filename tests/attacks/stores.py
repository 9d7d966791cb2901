"""Stores that could do harm: a good one with one lie, and what its refusal must say."""

import json
import math

import numpy as np
from numcodecs import zstd

from tests.attacks.forged_store import PART, VARIABLE

STORES = {}
LATENTS, RESIDUALS = f"{PART}/latents/zarr.json", f"{PART}/residuals/zarr.json"


def add(name, change, message, error="CorruptStore"):
    STORES[name] = (change, error, message)


def assign(document, path, value):
    """Set a member by its path, such as `variables/data/0/samples`."""
    *above, last = path.split("/")
    for key in above:
        document = document[int(key) if key.isdigit() else key]
    document[int(last) if last.isdigit() else last] = value


def head(name, message, error="CorruptStore", **lies):
    def change(store):
        for path, value in lies.items():
            assign(store.head, path.replace("__", "/"), value)

    add(f"head_{name}", change, message, error)


def metadata(name, key, message, path, value):
    def change(store):
        store.document(key, lambda document: assign(document, path, value))

    add(name, change, message)


def variable(name, message, **lies):
    ((path, value),) = lies.items()
    metadata(f"variable_{name}", VARIABLE, message, f"attributes/{path}", value)


def array(name, path, value, message="makes no sense", of="latents"):
    metadata(f"array_{name}", f"{PART}/{of}/zarr.json", message, path, value)


def record(name, message, field, value):
    def change(store):
        store.records(lambda ledger: ledger[field].__setitem__(0, value))

    add(f"record_{name}", change, message)


def chunks(name, of, message, change):
    add(f"chunk_{name}", lambda store: store.shard(of, change), message)


PART_0 = "variables__data__0__"
head("of_absurd_samples", "samples of shape", **{f"{PART_0}samples": 10**18})
head("of_endless_samples", "the head is damaged", **{f"{PART_0}samples": 10**400})
head("of_negative_samples", "the head is damaged", **{f"{PART_0}samples": -1})
head("of_half_samples", "the head is damaged", **{f"{PART_0}samples": 1.5})
head("of_other_samples", "makes no sense", **{f"{PART_0}samples": 21})
head("of_absurd_shards", "RowGrid(", **{f"{PART_0}shard_samples": 1 << 60})
head("of_other_chunks", "RowGrid(", **{f"{PART_0}chunk_samples": 2})
head("with_a_part_elsewhere", "a part at codecs", **{f"{PART_0}path": "codecs"})
head("with_a_part_above", "the head is damaged", **{f"{PART_0}path": "../outside"})
head("without_latents", "lists no latents", **{f"{PART_0}arrays": ["quality", "residuals"]})
TWICE = ["latents", "quality", "quality"]
head("with_an_array_twice", "two arrays of one name", **{f"{PART_0}arrays": TWICE})
ABOVE = ["latents", "quality", "../../../outside"]
head("with_an_array_above", "the head is damaged", **{f"{PART_0}arrays": ABOVE})
UNKNOWN = ["latents", "quality", "ledger"]
head("with_an_unknown_array", "makes no sense", **{f"{PART_0}arrays": UNKNOWN})
head("that_requires_the_unknown", "update the engine", "IncompatibleStore", required=["x\ny" * 999])
head("of_a_later_format", "update the engine", "IncompatibleStore", format=2)
head("of_format_text", "update the engine", "IncompatibleStore", format="1\n" * 5000)
head("of_an_unknown_state", "the head is damaged", state="open")
head("with_a_codec_above", "the head is damaged", codec="../../outside")
head("with_a_short_id", "the head is damaged", store_id="00")
head("with_a_part_that_is_text", "the head is damaged", variables={"data": ["part-0"]})
head("with_two_parts", "several parts", "IncompatibleStore", variables__more=[])
for title, key in {
    "above": "../outside.bin",
    "absolute": "/etc/passwd",
    "with_backslashes": "..\\outside.bin",
    "with_a_zero": "data\0",
    "empty": "",
    "of_absurd_length": "x" * 5000,
    "of_two_lines": "a\nb",
}.items():
    head(f"with_an_object_{title}", "an object of the name", objects={key: [1, "0" * 64]})


def object_size(size_bytes):
    return lambda store: store.head["objects"].__setitem__(VARIABLE, [size_bytes, "0" * 64])


add("object_beyond_the_cap", object_size(1 << 50), "bytes of memory, at most")
add("object_of_negative_size", object_size(-2), "the head is damaged")
add("object_of_size_text", object_size("12"), "the head is damaged")


def nested(store):
    store.head["fingerprint"] = {"deep": None}
    deep = b"[" * 100_000 + b"]" * 100_000
    store.objects["zarr.json"] = store.root().replace(b'{"deep":null}', b'{"deep":' + deep + b"}")


def endless_number(store):
    store.objects["zarr.json"] = store.root().replace(
        b'"generation":1', b'"generation":' + b"9" * 5000
    )


def not_a_number(store):
    store.objects["zarr.json"] = store.root().replace(b'"generation":1', b'"generation":NaN')


add("head_of_absurd_depth", nested, "not a latent store")
add("head_with_an_endless_number", endless_number, "not a latent store")
add("head_with_no_number", not_a_number, "the head is damaged")

for title, dtype in {
    "objects": "object",
    "void": "V8",
    "text": "U9",
    "dates": "datetime64[s]",
    "records": "i4,i4",
    "long_doubles": "longdouble",
    "a_list": ["f4"],
}.items():
    variable(f"of_{title}", "makes no sense", dtype=dtype)
variable("of_another_dtype", "of float32", dtype="float64")
variable("of_absurd_shape", "bytes of memory, at most", array_shape=[22, 1 << 40, 1 << 40])
variable("of_many_axes", "axes", array_shape=[22] + [1] * 10_000)
variable("of_another_shape", "of shape (4, 6)", array_shape=[22, 6, 4])
variable("of_no_shape", "makes no sense", array_shape=None)
STEPS = {"nan": math.nan, "inf": math.inf, "negative": -1.0, "huge": 1e300, "text": "1", "zero": 0}
for title, step in STEPS.items():
    variable(f"of_step_{title}", "makes no sense", step=step)
variable("of_another_step", "certificate", step=2.0)
for title, promise in {
    "contradicting": {"kind": "lossless", "max_error": 1.0, "nonfinite": "keep"},
    "negative": {"kind": "max-error", "max_error": -1.0},
    "of_no_peak": {"kind": "min-psnr", "min_psnr": 40.0, "peak": math.nan},
    "unknown": {"kind": "perfect"},
    "text": "lossless",
    "with_more": {"kind": "none", "surprise": 1},
}.items():
    variable(f"guarantee_{title}", "makes no sense", guarantee=promise)
variable("guarantee_of_longer_records", "the ledger", guarantee={"kind": "lossless"})

SHARDING = "codecs/0/configuration"
array("of_absurd_shards", "chunk_grid/configuration/chunk_shape", [10**12, 2])
array("of_absurd_chunks", f"{SHARDING}/chunk_shape", [10**12, 2])
array("of_an_index_of_terabytes", f"{SHARDING}/chunk_shape", [1, 2])
array("cut_along_another_axis", "chunk_grid/configuration/chunk_shape", [8, 1])
array("of_unknown_codecs", f"{SHARDING}/codecs", [{"name": "python", "configuration": {}}])
array("without_compression", f"{SHARDING}/codecs", [{"name": "bytes"}])
array("with_another_index_codec", f"{SHARDING}/index_codecs", [{"name": "bytes"}])
array("with_the_index_elsewhere", f"{SHARDING}/index_location", "start")
array("with_another_transpose", f"{SHARDING}/codecs/0/configuration/order", [0, 1])
array("of_absurd_level", f"{SHARDING}/codecs/2/configuration/level", 10**6)
array("of_another_fill_value", "fill_value", 0)
array("of_an_endless_fill_value", "fill_value", 10**400)
array("of_another_dtype", "data_type", "int64")
array("of_objects", "data_type", "object")
array("of_another_shape", "shape", [22, 2, 2])
array("with_other_keys", "chunk_key_encoding/configuration/separator", ".")
array("with_attributes_of_a_list", "attributes", [1])
array("of_axes_of_lists", "dimension_names", [[], []])
array("of_bytes_of_another_size", "attributes/bytes_of", "int64", of="residuals")
array("of_bytes_of_objects", "attributes/bytes_of", "object", of="residuals")
for title, prediction in {
    "absurd_offsets": {"differences": [], "linear": {"offsets": [[10**9, 0]], "weights": [1]}},
    "absurd_weights": {"differences": [], "linear": {"offsets": [[0, 1]], "weights": [1 << 62]}},
    "absurd_axes": {"differences": [10**9]},
    "many_neighbours": {
        "differences": [],
        "linear": {"offsets": [[0, 1]] * 9999, "weights": [1] * 9999},
    },
    "text": "median",
    "numbers_that_are_text": {"differences": ["0"]},
}.items():
    array(f"predicted_by_{title}", "attributes/prediction", prediction, of="residuals")
for title, unit in {"nan": math.nan, "negative": -1.0, "huge": 10**400, "text": "1"}.items():
    array(f"quality_of_unit_{title}", "attributes/unit", unit, of="quality")
array("text_of_unknown_encoding", "attributes/encoding", "pickle", "no text", "sidecars/text")
array("text_of_numbers", "attributes/encoding", "utf-8", "no text", "sidecars/label")

for title, value in {
    "nan": math.nan,
    "inf": math.inf,
    "negative": -0.02,
    "zero": 0.0,
    "of_many_bits": 0.1,
}.items():
    record(f"of_step_{title}", "residual_step", "residual_step", value)
record("of_base_nan", "base", "base", math.nan)
record("of_an_unknown_mode", "mode 9", "mode", 9)
record("of_a_mode_without_objects", "makes no sense", "mode", 4)
record("of_a_mode_without_residuals", "makes no sense", "mode", 1)
record("of_another_version", "version 2", "version", 2)
record("of_another_shard", "another place", "shard", 1)
record("of_rows_of_another", "samples are those of another", "row_start", 8)
record("of_more_rows", "samples are those of another", "row_stop", (1 << 64) - 1)
record("of_more_exceptions", "counts more", "exceptions", (1 << 64) - 1)
record("of_more_patches", "counts more", "patches", (1 << 64) - 1)
record("of_negative_error", "below 0", "sum_squared_error", -1.0)
record("of_endless_range", "range of the data", "data_max", math.inf)
record("of_absurd_size", "the size of latents", "size_bytes_0", (1 << 64) - 1)
record("without_quality", "the size of quality", "size_bytes_1", 0)


def frame_of(size_bytes):
    """A frame of zstd that states and holds so many zeros."""
    return zstd.compress(bytes(size_bytes), 19)


def lying_frame(chunk, stated):
    """A frame that states another size: a header of eight bytes of size, then its own blocks."""
    sized = zstd.compress(bytes(1 << 20), 1)
    blocks = sized[5 + (0, 2, 4, 8)[sized[4] >> 6] + (0 if sized[4] >> 5 & 1 else 1) :]
    return sized[:4] + bytes([0b1110_0000]) + stated.to_bytes(8, "little") + blocks


BIG = (1 << 64) - 2
chunks("of_a_bomb", "latents", "bytes, expected 16", lambda c: ([frame_of(1 << 28), c[1]], None))
chunks("of_a_lying_bomb", "latents", "is damaged", lambda c: ([lying_frame(c[0], 16), c[1]], None))
chunks(
    "of_an_absurd_bomb", "latents", "expected 16", lambda c: ([lying_frame(c[0], BIG), c[1]], None)
)
chunks("of_fewer_values", "latents", "expected 16", lambda c: ([frame_of(8), c[1]], None))
chunks("of_two_frames", "latents", "doesn't end", lambda c: ([c[0] * 2, c[1]], None))
chunks("of_no_frame", "latents", "no zstd frame", lambda c: ([b"nothing here", c[1]], None))
LOWEST = np.full((2, 4), -32768, "<i2").tobytes()
chunks(
    "of_latents_out_of_range",
    "latents",
    "latents out of range",
    lambda c: ([zstd.compress(LOWEST, 1), c[1]], None),
)
chunks("beyond_the_end", "latents", "truncated", lambda c: (c, [(1 << 40, 20), (1 << 41, 20)]))
chunks("of_absurd_length", "latents", "overlap", lambda c: (c, [(0, BIG), (20, 20)]))
chunks("that_overlap", "latents", "overlap", lambda c: (c, [(0, 25), (1, 25)]))
chunks("that_are_absent", "latents", "missing", lambda c: (c, [(BIG + 1, BIG + 1)] * 2))
NO_TEXT = zstd.compress(b"\xff" * 96, 1)
chunks("of_no_text", "sidecars/text", "is no text", lambda c: ([NO_TEXT], None))


def certificate(content):
    """Give the store a certificate of its own."""
    from engine.store.byte_array import byte_array

    def change(store):
        for key, value in byte_array("data/certificate", content, 1 << 20).items():
            store.head["objects"][key] = [0, ""]
            store.put(key, value)

    return change


add("certificate_of_nothing", certificate(b"\0" * 40), "expected version 1, found 0")
HUGE_COUNT = (1).to_bytes(4, "little") + (0xFFFFFFFF).to_bytes(4, "little") * 2 + bytes(44)
add("certificate_of_absurd_probes", certificate(HUGE_COUNT), "1 to 256 probes")


def array_bomb(store):
    """A ledger array whose metadata say terabytes, and whose chunk says so, too."""
    key = f"{PART}/ledger/zarr.json"
    store.document(key, lambda d: d.update(shape=[1 << 42]))


add("ledger_of_terabytes", array_bomb, "makes no sense")


def short_ledger(store):
    store.document(f"{PART}/ledger/zarr.json", lambda d: d.update(shape=[1]))
    assert json.loads(store.objects[f"{PART}/ledger/zarr.json"])["shape"] == [1]


add("ledger_of_one_byte", short_ledger, "makes no sense")
