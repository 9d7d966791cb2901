"""Rate against distortion, and speed against size, as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from engine.comparing.comparison import Comparison
from engine.comparing.point import Point
from engine.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OURS = ("#c1121f", "#f4a261", "#7b2cbf", "#2a9d8f")
_THEIRS = (
    "#264653", "#457b9d", "#8d99ae", "#6a994e", "#bc6c25", "#577590", "#9c89b8", "#a3b18a",
    "#7f5539", "#5e6472",
)  # fmt: skip
_MARKERS = "os^vDPX*<>hd8"
_EXACT = "exact"

Draw = Callable[["Axes", str, Sequence[Point], dict[str, Any]], None]


def draw_rate_distortion(comparison: Comparison) -> bytes:
    """Quality over bytes a sample, one line a codec; recall of vectors, else PSNR.

    On the left with everything counted, on the right what one more sample takes. What comes back
    bit for bit stands at the top.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    vectors = any(point.recall_at_10 is not None for point in comparison.points)
    qualities = [_quality(point, vectors=vectors) for point in comparison.points]
    finite = [quality for quality in qualities if math.isfinite(quality)]
    top = max(finite, default=0.0) + 0.08 * ((max(finite) - min(finite)) if finite else 1) + 1e-9

    def draw(size: Callable[[Point], float]) -> Draw:
        def curve(axes: Axes, name: str, points: Sequence[Point], style: dict[str, Any]) -> None:
            shown = [(size(p), min(_quality(p, vectors=vectors), top), p) for p in points]
            shown = [pair for pair in shown if pair[1] > -math.inf]
            _lines(axes, name, sorted(shown, key=lambda pair: pair[0]), style)

        return curve

    def finish(axes: Axes) -> None:
        if any(quality == math.inf for quality in qualities):
            axes.axhline(top, color="#bbbbbb", linewidth=0.8, linestyle=":", zorder=0)
            axes.annotate(_EXACT, (0.99, top), xycoords=("axes fraction", "data"), ha="right",
                          va="bottom", fontsize=8, color="#777777")  # fmt: skip

    label = "recall@10" if vectors else "PSNR, dB"
    return _png(comparison, [draw(size) for size in _sizes(comparison)], label, finish)


def draw_speed_size(comparison: Comparison) -> bytes:
    """Samples a second on one thread over bytes a sample, one mark a point.

    Decoding on the left, encoding on the right; everything is counted.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    size, _ = _sizes(comparison)

    def draw(speed: Callable[[Point], float]) -> Draw:
        def marks(axes: Axes, name: str, points: Sequence[Point], style: dict[str, Any]) -> None:
            style = style | {"linestyle": ""}
            axes.plot([size(p) for p in points], [speed(p) for p in points], label=name, **style)

        return marks

    speeds = (lambda p: p.decode_samples_per_s, lambda p: p.encode_samples_per_s)

    def finish(axes: Axes) -> None:
        axes.set_yscale("log")

    label = "samples a second, one thread"
    titles = ("decoding", "encoding")
    return _png(comparison, [draw(speed) for speed in speeds], label, finish, titles)


def _sizes(comparison: Comparison) -> tuple[Callable[[Point], float], Callable[[Point], float]]:
    """Bytes a sample: everything counted, and what one more sample takes."""
    count = comparison.facts.for_samples
    return lambda p: p.sample_bytes(count), lambda p: p.payload_sample_bytes


def _quality(point: Point, *, vectors: bool) -> float:
    return point.psnr_db if not vectors or point.recall_at_10 is None else point.recall_at_10


def _lines(axes: Axes, name: str, shown: Sequence[Any], style: dict[str, Any]) -> None:
    """Points of one codec joined; those of codecs of one kind joined by a thin line."""
    if not shown:
        return
    thin = style | {"linewidth": 0.8, "linestyle": ":", "marker": ""}
    axes.plot([pair[0] for pair in shown], [pair[1] for pair in shown], **thin)
    for place, codec in enumerate(dict.fromkeys(_codec(pair[2]) for pair in shown)):
        own = [pair for pair in shown if _codec(pair[2]) == codec]
        label = name if place == 0 else None
        axes.plot([pair[0] for pair in own], [pair[1] for pair in own], label=label, **style)


def _codec(point: Point) -> str:
    """What tells codecs of one kind apart: the rate that each is for."""
    return point.setting.rpartition(", ")[0] if point.is_ours else ""


def _by_curve(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points in the order of measuring; a store with a guarantee is a codec of its own."""
    found: dict[str, list[Point]] = {}
    for point in points:
        bounded = point.is_ours and point.bound is not None
        found.setdefault(f"{point.method}, bounded" if bounded else point.method, []).append(point)
    return found


def _styles(curves: dict[str, list[Point]]) -> dict[str, dict[str, Any]]:
    """Ours are bold and bright, bounded ones dashed in the same colour; others thin and muted."""
    ours = list(dict.fromkeys(p.method for points in curves.values() for p in points if p.is_ours))
    theirs = [name for name, points in curves.items() if not points[0].is_ours]
    styles: dict[str, dict[str, Any]] = {}
    for name, points in curves.items():
        if points[0].is_ours:
            place, bounded = ours.index(points[0].method), name != points[0].method
            styles[name] = {
                "color": _OURS[place % len(_OURS)], "linewidth": 2.4, "zorder": 3, "markersize": 6,
                "linestyle": "--" if bounded else "-", "marker": "s" if bounded else "o",
            }  # fmt: skip
        else:
            place = theirs.index(name)
            styles[name] = {
                "color": _THEIRS[place % len(_THEIRS)], "linewidth": 1.1, "markersize": 4.5,
                "linestyle": ("-", "--")[place // len(_THEIRS) % 2], "alpha": 0.85,
                "marker": _MARKERS[place % len(_MARKERS)],
            }  # fmt: skip
    return styles


def _png(
    comparison: Comparison,
    panels: Sequence[Draw],
    label: str,
    finish: Callable[[Axes], None],
    titles: Sequence[str] | None = None,
) -> bytes:
    """Panels side by side over one legend."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator
    except ImportError:
        raise MissingExtra(
            "plots need matplotlib: install latent-engine[bench], or leave out --out"
        ) from None
    count = comparison.facts.for_samples
    titles = titles or (f"everything counted, for {count:,} samples", "what one more sample takes")
    figure = Figure(figsize=(12, 6.4), dpi=120, layout="constrained", facecolor="white")
    curves = _by_curve(comparison.points)
    styles = _styles(curves)
    for axes, draw, title in zip(
        figure.subplots(1, len(panels), sharey=True), panels, titles, strict=True
    ):
        for name, points in curves.items():
            draw(axes, name, points, styles[name])
        axes.set_title(title, fontsize=10, loc="left", color="#333333")
        axes.set(xlabel="bytes a sample", xscale="log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.grid(alpha=0.25, which="major")
        axes.spines[["top", "right"]].set_visible(False)
        finish(axes)
    figure.axes[0].set_ylabel(label)
    handles, names = figure.axes[0].get_legend_handles_labels()
    if handles:
        place = {"loc": "outside lower center", "ncols": 5}
        figure.legend(handles, names, **place, fontsize=8, frameon=False)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})
    return file.getvalue()
