"""The files that a comparison leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import json
from io import StringIO
from pathlib import Path

from engine.comparing.comparison import Comparison
from engine.comparing.page import render_page
from engine.comparing.plots import draw_rate_distortion, draw_speed_size
from engine.comparing.point import Point
from engine.staging import staged

CSV, JSON, PAGE = "results.csv", "results.json", "index.html"
RATE_DISTORTION, SPEED_SIZE = "rate-distortion.png", "speed-size.png"


def write_report(comparison: Comparison, folder: Path) -> None:
    """Write tables, plots and the page; each file whole or not at all.

    Raises:
        StorageError: the file system refused.
        MissingExtra: plots need matplotlib.
    """
    plots = {
        RATE_DISTORTION: draw_rate_distortion(comparison),
        SPEED_SIZE: draw_speed_size(comparison),
    }
    texts = {
        CSV: csv_text(comparison),
        JSON: json.dumps(comparison.to_json(), indent=1, allow_nan=False),
        PAGE: render_page(comparison, list(plots.values())),
    }
    contents = {name: text.encode() for name, text in texts.items()} | plots
    for name, content in contents.items():
        with staged(folder / name) as part:
            part.write_bytes(content)


def csv_text(comparison: Comparison) -> str:
    """One line a point: its fields, and its size at `for_samples`."""
    names = [field.name for field in dataclasses.fields(Point)]
    count = comparison.facts.for_samples
    file = StringIO()
    writer = csv.DictWriter(file, ["sample_bytes", *names], lineterminator="\n")
    writer.writeheader()
    for point in comparison.points:
        writer.writerow({"sample_bytes": point.sample_bytes(count)} | dataclasses.asdict(point))
    return file.getvalue()
