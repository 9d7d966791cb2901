"""The entropy coder among the codings of chunks."""

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.geometry import RowGrid
from engine.store.arrays import ShardedArray
from engine.store.coding import PCODEC, RANS, ZSTD, Coded, Coding
from engine.store.prediction import Prediction
from engine.store.rans_fit import fit_tables
from engine.store.rans_tables import RANS_CODEC, RansTable, RansTables

from ..laws import same_values

INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)
TABLES = RansTables((RansTable(0, -1, (1000, 2000, 1000)), RansTable(3, -5, (9,) * 11)))
CODING = Coding(RANS, tables=TABLES)
WHERE = "chunk 7 of latents/c/0"


def test_values_and_differences_come_back():
    values = np.random.default_rng(0).integers(-9, 9, (8, 3, 4)).astype(np.int16)
    for coded in (Coded(coding=CODING), Coded(Prediction((0, 1)), CODING)):
        found = coded.decode(coded.encode(values), values.shape, INT16, WHERE)
        assert same_values(found, values)


def test_sparse_latents_take_less_than_by_zstd():
    values = (np.random.default_rng(0).random((256, 64)) < 0.05).astype(np.int8)
    coding = Coding(RANS, tables=fit_tables(values, 64))
    assert len(coding.encode(values)) < 0.8 * len(Coding().encode(values))


def test_it_says_what_it_is():
    assert str(Coded(coding=CODING)) == "rans by 2 tables"
    assert not CODING.is_portable
    assert CODING.codecs(3, INT8) == [
        {"name": RANS_CODEC, "configuration": TABLES.to_json()},
        {"name": "crc32c"},
    ]


def test_memory_counts_what_decoding_takes_besides():
    """A hostile store may have many positions a sample, or many samples of few."""
    for samples, positions, expected in ((1, 10_000, 24 * 10_000), (50_000, 2, 200_000)):
        grid = RowGrid(samples, samples, samples)
        array = ShardedArray("latents", grid, (positions,), INT8, 0, coded=Coded(coding=CODING))
        assert array.chunk_bytes == expected > samples * positions
    many = Coding(RANS, tables=RansTables((RansTable(0, 0, (1,)),) * 4096))
    assert many.scratch_bytes((1, 1)) > 4096 * 257 * 8
    assert Coding().scratch_bytes((1000, 1000)) == 0


def test_one_encoder_takes_all_chunks_of_a_shape():
    rng = np.random.default_rng(0)
    encode = CODING.for_chunks((8, 3), INT16).encode
    for _ in range(3):
        values = rng.integers(-300, 300, (8, 3)).astype(np.int16)
        assert encode(values) == CODING.encode(values)


@pytest.mark.parametrize(
    "options",
    [
        {"coder": RANS},
        {"coder": RANS, "tables": TABLES, "level": 0},
        {"coder": RANS, "tables": TABLES, "planes": True},
        {"coder": RANS, "tables": TABLES, "samples_last": False},
        {"coder": ZSTD, "tables": TABLES},
        {"coder": PCODEC, "tables": TABLES, "samples_last": False},
    ],
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(InvalidInput):
        Coding(**options)


def codecs(**configuration):
    return [{"name": RANS_CODEC, "configuration": configuration}, {"name": "crc32c"}]


@pytest.mark.parametrize(
    ("codecs", "dtype", "planes"),
    [
        (CODING.codecs(3, INT8), np.dtype(np.uint8), False),
        (CODING.codecs(3, INT8), np.dtype(np.int32), False),
        (CODING.codecs(3, INT8), INT8, True),
        (CODING.codecs(3, INT8)[:1], INT8, False),
        ([*Coding().codecs(3, INT8)[:1], *CODING.codecs(3, INT8)], INT8, False),
        (codecs(**TABLES.to_json(), level=1), INT8, False),
        (codecs(tables=""), INT8, False),
        (codecs(), INT8, False),
        (codecs(tables="AAABgQA="), INT8, False),  # 1, in more bytes than it takes
        (codecs(**RansTables((RansTable(0, 200, (1,)),)).to_json()), INT8, False),
    ],
)
def test_other_codecs_are_refused(codecs, dtype, planes):
    with pytest.raises(InvalidInput):
        Coding.from_codecs(codecs, 3, dtype, planes=planes)
