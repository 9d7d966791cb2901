"""The files that a comparison leaves behind."""

import csv
import dataclasses
import io
import json
import math
import re
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from engine.comparing.comparison import Comparison
from engine.comparing.page import equal_sizes, render_page
from engine.comparing.pictures import error_png, picture_png
from engine.comparing.record import Measured, Refusal
from engine.comparing.report import CSV, JSON, PAGE, RATE_DISTORTION, SPEED_SIZE, write_report
from engine.comparing.table import heading, rows

from .points import facts, point


@pytest.fixture
def comparison(digits):
    originals = digits[:8]
    points = [
        point("WebP", 20, 25.0),
        point("WebP", 60, 35.0),
        point("my.codec", 18, 27.0, is_ours=True, decoder_bytes=10_000),
        point("zstd", 150, math.inf, bound=0.0, max_abs_error=0.0),
        point("KLT <b>", 22, 24.0),
    ]
    return Comparison(
        facts=facts(),
        measured=tuple(Measured(one, originals // 2) for one in points),
        refusals=(
            *(Refusal("SPERR", f"max error {error}", "why") for error in (1, 2)),
            *(Refusal("WebP", f"quality {quality}", "coarse") for quality in (1, 2)),
        ),
        missing=("FAISS SQ is left out: faiss is not installed",),
        advice=("Use <this> & that.",),
        originals=originals,
    )


def test_every_file_is_written(comparison, tmp_path):
    write_report(comparison, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        CSV, JSON, PAGE, RATE_DISTORTION, SPEED_SIZE,
    }  # fmt: skip
    for name in (RATE_DISTORTION, SPEED_SIZE):
        with Image.open(tmp_path / "new" / name) as image:
            assert image.format == "PNG" and len(image.getcolors(10**6)) > 10


def test_csv_and_json_hold_every_point(comparison, tmp_path):
    write_report(comparison, tmp_path)
    with (tmp_path / CSV).open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = json.loads((tmp_path / JSON).read_text())
    assert [line["method"] for line in lines] == [one["method"] for one in found["points"]]
    assert float(lines[2]["sample_bytes"]) == found["points"][2]["sample_bytes"] == 18 + 1
    assert found["points"][3]["psnr_db"] == lines[3]["psnr_db"] == "inf"
    assert found["facts"]["sample_shape"] == [28, 28]
    assert found["refusals"][0]["reason"] == "why"


def test_the_page_needs_nothing_else(comparison):
    page = render_page(comparison, [b"a plot"])
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "<script" not in page
    assert "Use &lt;this&gt; &amp; that." in page and "KLT &lt;b&gt;" in page
    assert "SPERR is left out: why" in page
    assert "WebP refuses quality 1, quality 2: coarse" in page
    assert "faiss is not installed" in page


def pictures_in(page, kind):
    found = re.findall(rf'class="{kind}"[^>]*base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(b64decode(text)))) for text in found]


def test_the_page_shows_originals_what_came_back_and_the_errors(comparison):
    page = render_page(comparison, [])
    pictures = pictures_in(page, "strip")
    assert len(pictures) == 1 + 3
    assert pictures[0].shape == (2 * 28, 8 * (2 * 28 + 2) - 2)
    first, second = pictures[0][::2, : 2 * 28 : 2], pictures[0][::2, 2 * 28 + 2 :: 2][:, :28]
    np.testing.assert_array_equal(first, comparison.originals[0])
    np.testing.assert_array_equal(second, comparison.originals[1])
    np.testing.assert_array_equal(pictures[1][::2, : 2 * 28 : 2], first // 2)
    errors = pictures_in(page, "strip error")
    assert len(errors) == 3
    assert errors[0][first.argmax() // 28 * 2, first.argmax() % 28 * 2].sum() > errors[0].min()


def test_pictures_are_of_equal_size(comparison):
    ((size, chosen),) = equal_sizes(comparison)
    assert 19 < size < 22
    assert [one.point.method for one in chosen] == ["my.codec", "WebP", "KLT <b>"]


@pytest.mark.parametrize(
    "originals",
    [
        np.linspace(0, 1, 3 * 50, dtype=np.float64).reshape(3, 50),
        np.arange(2 * 300, dtype=np.int16).reshape(2, 300),
        np.linspace(-5, 5, 3 * 64, dtype=np.float32).reshape(3, 8, 8),
        np.full((3, 8, 8), np.nan, np.float32),
        np.zeros((2, 5, 6, 7), np.float64),
        np.zeros((2, 6, 7, 3), np.uint16),
        np.zeros((2, 6, 7, 1), np.uint8),
        np.zeros((1, 2, 5, 6, 7), np.uint8),
    ],
    ids=lambda samples: f"{samples.dtype}{samples.shape}",
)
def test_samples_of_any_kind_have_a_picture(originals):
    with Image.open(io.BytesIO(picture_png(originals, originals))) as image:
        assert image.format == "PNG" and min(image.size) >= 50
    assert (error_png(originals, originals) is None) == (originals.ndim == 2)


def test_colours_are_those_of_the_originals():
    originals = np.zeros((1, 4, 4), np.float32)
    originals[0, 0, 0] = 1
    near, far = (picture_png(originals * scale, originals) for scale in (1, 0.5))
    assert near == picture_png(originals, originals) != far


def test_a_page_without_points(comparison):
    changed = dataclasses.replace(comparison, measured=(), refusals=(), advice=())
    assert "strip" not in render_page(changed, []).split("</style>")[1]


def test_a_line_has_a_cell_for_every_column(comparison):
    assert {len(row) for row in rows(comparison)} == {len(heading(comparison))}
    vector = point("SQ8", 8, 30.0, recall_at_10=0.5, cosine_similarity=0.9)
    measured = (*comparison.measured, Measured(vector, comparison.originals))
    vectors = Comparison(**{**vars(comparison), "measured": measured})
    assert heading(vectors)[-1] == "recall@10"
    assert {len(row) for row in rows(vectors)} == {len(heading(vectors))}
    assert list(rows(vectors))[-1][-1] == "0.5000"


def test_a_broken_bound_is_shouted(comparison):
    broken = point("liar", 8, 30.0, bound=1.0, max_abs_error=2.0)
    changed = Comparison(
        **{**vars(comparison), "measured": (Measured(broken, comparison.originals),)}
    )
    assert "BOUND VIOLATED" in " ".join(next(iter(rows(changed))))
