import io

import numpy as np
import pytest
from PIL import Image

from engine.training import EpochRecord, save_learning_curve

HISTORY = [EpochRecord(epoch, 1 / epoch, 1.1 / epoch) for epoch in range(1, 8)]


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], [EpochRecord(1, 0.0, 0.0)]])
def test_a_learning_curve_is_a_picture(history, tmp_path):
    save_learning_curve(history, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG"
        assert image.size == (1200, 750)
        assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_equal_histories_give_equal_bytes_without_the_librarys_name(tmp_path):
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        save_learning_curve(HISTORY, file)
    assert files[0].getvalue() == files[1].getvalue()
    assert b"atplotlib" not in files[0].getvalue()
