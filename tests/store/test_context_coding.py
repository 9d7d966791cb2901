"""The contextual coder among the codings of chunks."""

import numpy as np
import pytest

from engine.errors import InvalidInput
from engine.store.coding import CONTEXT, PCODEC, RANS, ZSTD, Coded, Coding
from engine.store.context_model import CONTEXT_CODEC, VALUE, ContextModel, Leaf, Split
from engine.store.prediction import Prediction
from engine.store.rans_tables import RansTable, RansTables

from ..laws import same_values

INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)
TABLE = RansTable(0, -1, (1000, 2000, 1000))
MODEL = ContextModel(
    ((0, 1), (1, 0)),
    ((100, 156),),
    (Split(VALUE, 0, 0, 0, 2), Leaf(0, TABLE), Leaf(1, RansTable(3, -5, (9,) * 11))),
)
CODING = Coding(CONTEXT, model=MODEL)
WHERE = "chunk 7 of quantised/c/0"


def test_values_and_differences_come_back():
    values = np.random.default_rng(0).integers(-9, 9, (8, 3, 4)).astype(np.int16)
    for coded in (Coded(coding=CODING), Coded(Prediction((0, 1)), CODING)):
        found = coded.decode(coded.encode(values), values.shape, INT16, WHERE)
        assert same_values(found, values)


def test_it_says_what_it_is():
    assert str(Coded(coding=CODING)) == "context by 2 tables"
    assert not CODING.is_portable
    assert CODING.codecs(3, INT8) == [
        {"name": CONTEXT_CODEC, "configuration": MODEL.to_json()},
        {"name": "crc32c"},
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"coder": CONTEXT},
        {"coder": CONTEXT, "model": MODEL, "level": 0},
        {"coder": CONTEXT, "model": MODEL, "planes": True},
        {"coder": CONTEXT, "model": MODEL, "samples_last": False},
        {"coder": CONTEXT, "model": MODEL, "tables": RansTables((TABLE,))},
        {"coder": RANS, "model": MODEL, "tables": RansTables((TABLE,))},
        {"coder": ZSTD, "model": MODEL},
        {"coder": PCODEC, "model": MODEL, "samples_last": False},
    ],
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(InvalidInput):
        Coding(**options)


def codecs(**configuration):
    return [{"name": CONTEXT_CODEC, "configuration": configuration}, {"name": "crc32c"}]


@pytest.mark.parametrize(
    ("codecs", "dtype", "planes"),
    [
        (CODING.codecs(3, INT8), np.dtype(np.int32), False),
        (CODING.codecs(3, INT8), INT8, True),
        (CODING.codecs(3, INT8)[:1], INT8, False),
        ([*Coding().codecs(3, INT8)[:1], *CODING.codecs(3, INT8)], INT8, False),
        (codecs(**MODEL.to_json(), level=1), INT8, False),
        (codecs(model=""), INT8, False),
        (codecs(), INT8, False),
        (codecs(**ContextModel(((1,),), (), (Leaf(0, TABLE),)).to_json()), INT8, False),
    ],
)
def test_other_codecs_are_refused(codecs, dtype, planes):
    with pytest.raises(InvalidInput):
        Coding.from_codecs(codecs, 3, dtype, planes=planes)
