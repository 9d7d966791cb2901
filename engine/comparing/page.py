"""One HTML page that holds a whole comparison: nothing of it is fetched from anywhere."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Sequence

from engine.comparing.comparison import Comparison
from engine.comparing.pictures import can_show, data_uri, strip_png
from engine.comparing.point import Point
from engine.comparing.record import Measured
from engine.comparing.table import heading, introduction, refusal_lines, rows

_NEAR = 1.5
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:13px}td,th{padding:.15rem .6rem;text-align:right}
td:first-child,th:first-child,td:nth-child(2),td:nth-child(3){text-align:left}
tr:nth-child(even){background:#f3f3f3}img{max-width:100%}
.strip{image-rendering:pixelated;height:64px;width:auto}"""


def render_page(comparison: Comparison, plots: Sequence[bytes]) -> str:
    """The page as text; `plots` are PNG."""
    facts = comparison.facts
    title = html.escape(f"{facts.name}: codecs compared")
    drawn = "".join(f'<p><img alt="plot" src="{data_uri(plot)}"></p>' for plot in plots)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{html.escape(introduction(comparison))}</p>"
        f"<h2>Advice</h2>{_list(comparison.advice)}{drawn}{_pictures(comparison)}"
        f"<h2>All points</h2>{_table(comparison)}{_left_out(comparison)}</body></html>\n"
    )


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def _table(comparison: Comparison) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading(comparison))
    body = (
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows(comparison)
    )
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def _left_out(comparison: Comparison) -> str:
    lines = [*comparison.missing, *refusal_lines(comparison)]
    return f"<h2>Left out</h2>{_list(lines)}" if lines else ""


def _pictures(comparison: Comparison) -> str:
    if not comparison.measured or not can_show(comparison.facts.sample_shape):
        return ""
    size, chosen = equal_size(comparison)
    originals = comparison.originals
    strips = [f"<tr><td>original</td><td>{_strip(strip_png(originals, originals))}</td></tr>"]
    for measured in chosen:
        label = html.escape(_label(measured.point, comparison.facts.for_samples))
        picture = _strip(strip_png(measured.preview, originals))
        strips.append(f"<tr><td>{label}</td><td>{picture}</td></tr>")
    return f"<h2>At about {size:.4g} bytes a sample</h2><table>{''.join(strips)}</table>"


def _strip(png: bytes) -> str:
    return f'<img class="strip" alt="samples" src="{data_uri(png)}">'


def _label(point: Point, for_samples: int) -> str:
    quality = "exact" if point.psnr_db == math.inf else f"{point.psnr_db:.1f} dB"
    size = f"{point.sample_bytes(for_samples):.4g} bytes"
    return f"{point.method}, {point.setting}: {size}, {quality}"


def equal_size(comparison: Comparison) -> tuple[float, list[Measured]]:
    """A size in bytes a sample, and of each codec the point nearest to it, if it is near.

    The size is the median over the smaller half of all points, where codecs differ to the eye.
    """
    count = comparison.facts.for_samples
    sizes = sorted(point.sample_bytes(count) for point in comparison.points)
    target = statistics.median(sizes[: -(-len(sizes) // 2)])
    nearest: dict[str, Measured] = {}
    for measured in comparison.measured:
        known = nearest.get(measured.point.method)
        if known is None or _distance(measured, target, count) < _distance(known, target, count):
            nearest[measured.point.method] = measured
    near = [m for m in nearest.values() if _distance(m, target, count) <= math.log(_NEAR)]
    return target, sorted(near, key=lambda measured: -measured.point.psnr_db)


def _distance(measured: Measured, target: float, count: int) -> float:
    return abs(math.log(measured.point.sample_bytes(count) / target))
