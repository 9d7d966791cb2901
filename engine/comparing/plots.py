"""Rate against distortion, and speed against size, as PNG."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from engine.comparing.comparison import Comparison
from engine.comparing.point import Point
from engine.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^vDPX*<>hd8"


def draw_rate_distortion(comparison: Comparison) -> bytes:
    """Quality over bytes a sample, one line a codec; recall of vectors, else PSNR.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    vectors = any(point.recall_at_10 is not None for point in comparison.points)
    label = "recall@10" if vectors else "PSNR (dB)"
    count = comparison.facts.for_samples

    def draw(axes: Any) -> None:
        for method, points in _by_method(comparison.points).items():
            shown = [(p.sample_bytes(count), _quality(p, vectors=vectors)) for p in points]
            shown = sorted(pair for pair in shown if math.isfinite(pair[1]))
            if shown:
                axes.plot(*zip(*shown, strict=True), label=method, **_style(comparison, method))
        axes.set(xlabel="bytes a sample, everything counted", ylabel=label, xscale="log")

    return _png(draw)


def draw_speed_size(comparison: Comparison) -> bytes:
    """Samples decoded a second on one thread over bytes a sample, one mark a point.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    count = comparison.facts.for_samples

    def draw(axes: Any) -> None:
        for method, points in _by_method(comparison.points).items():
            sizes = [point.sample_bytes(count) for point in points]
            speeds = [point.decode_samples_per_s for point in points]
            style = _style(comparison, method) | {"linestyle": ""}
            axes.plot(sizes, speeds, label=method, **style)
        axes.set(xlabel="bytes a sample, everything counted", xscale="log", yscale="log")
        axes.set(ylabel="samples decoded a second, one thread")

    return _png(draw)


def _quality(point: Point, *, vectors: bool) -> float:
    return point.psnr_db if not vectors or point.recall_at_10 is None else point.recall_at_10


def _by_method(points: tuple[Point, ...]) -> dict[str, list[Point]]:
    """Points in the order of measuring; a store with a guarantee is a codec of its own."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(_curve(point), []).append(point)
    return found


def _curve(point: Point) -> str:
    bounded = point.is_ours and point.bound is not None
    return f"{point.method}, bounded" if bounded else point.method


def _style(comparison: Comparison, method: str) -> dict[str, Any]:
    place = list(_by_method(comparison.points)).index(method)
    ours = any(point.is_ours and _curve(point) == method for point in comparison.points)
    return {
        "color": f"C{place % 10}",
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 5,
        "linewidth": 3 if ours else 1,
        "linestyle": ("-", "--", ":")[place // 10 % 3],
    }


def _png(draw: Any) -> bytes:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra(
            "plots need matplotlib: install latent-engine[bench], or leave out --out"
        ) from None
    figure = Figure(figsize=(10, 6), dpi=110, layout="constrained")
    axes: Axes = figure.add_subplot()
    draw(axes)
    axes.grid(alpha=0.3, which="both")
    if axes.lines:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    return file.getvalue()
