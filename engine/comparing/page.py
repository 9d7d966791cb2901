"""One HTML page that holds a whole comparison: nothing of it is fetched from anywhere."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from engine.comparing.comparison import Comparison
from engine.comparing.pictures import data_uri, error_png, picture_png
from engine.comparing.point import Point
from engine.comparing.record import Measured
from engine.comparing.table import heading, introduction, refusal_lines, rows

_NEAR = 1.4
_SIZES = (0.15, 0.4, 0.65)  # of all points' sizes, smallest first
_KEY = """<p class="facts">Below, what codecs make of them at equal size, the best first. Dark
strips are errors, brightest at a quarter of the range; lines lie on the originals in grey.</p>"""
_STYLE = """
:root{--ink:#222;--soft:#667;--line:#e3e3e8;--ours:#c1121f}
body{font:15px/1.55 system-ui,sans-serif;color:var(--ink);max-width:78rem;margin:2.5rem auto;
padding:0 1.5rem}
h1{font-size:1.7rem;margin-bottom:.3rem}h2{font-size:1.2rem;margin:2.4rem 0 .8rem}
p.facts{color:var(--soft);max-width:60rem}
ul.advice{list-style:none;padding:0}ul.advice li{border-left:3px solid var(--line);
padding:.15rem 0 .15rem .9rem;margin:.55rem 0;max-width:66rem}
ul.advice li:last-child{border-color:var(--ours);font-weight:600}
img.plot{max-width:100%;display:block;margin:1rem 0}
table{border-collapse:collapse;font-size:13px}td,th{padding:.22rem .65rem;text-align:right;
border-bottom:1px solid var(--line);white-space:nowrap;font-variant-numeric:tabular-nums}
th{position:sticky;top:0;background:#fff;color:var(--soft);font-weight:600}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2),td:nth-child(3),th:nth-child(3)
{text-align:left}
tr.ours td:first-child{color:var(--ours);font-weight:600}
div.wide{overflow-x:auto}
div.side{display:grid;grid-template-columns:repeat(auto-fill,minmax(34rem,1fr));gap:1rem 2rem}
figure{margin:0}figcaption{font-size:13px;margin-bottom:.25rem}
figcaption b.ours{color:var(--ours)}figcaption span{color:var(--soft)}
.strip{image-rendering:pixelated;max-width:100%;display:block;margin-bottom:3px}
.error{opacity:.9}"""


def render_page(comparison: Comparison, plots: Sequence[bytes]) -> str:
    """The page as text; `plots` are PNG."""
    facts = comparison.facts
    title = html.escape(f"{facts.name}: codecs compared")
    drawn = "".join(f'<img class="plot" alt="plot" src="{data_uri(plot)}">' for plot in plots)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p class="facts">{html.escape(introduction(comparison))}</p>'
        f"<h2>Advice</h2>{_list(comparison.advice, 'advice')}"
        f"<h2>Size, quality, speed</h2>{drawn}{_pictures(comparison)}"
        f"<h2>All points</h2>{_table(comparison)}{_left_out(comparison)}</body></html>\n"
    )


def _list(lines: Sequence[str], kind: str = "") -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="{kind}">{items}</ul>'


def _table(comparison: Comparison) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading(comparison))
    body = (
        f'<tr class="{"ours" if point.is_ours else ""}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for point, row in zip(comparison.points, rows(comparison), strict=True)
    )
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'


def _left_out(comparison: Comparison) -> str:
    lines = [*comparison.missing, *refusal_lines(comparison)]
    return f"<h2>Left out</h2>{_list(lines)}" if lines else ""


def _pictures(comparison: Comparison) -> str:
    """Originals once, then what codecs make of them at a few sizes, each at its nearest setting."""
    groups = equal_sizes(comparison)
    if not groups:
        return ""
    originals = comparison.originals
    shown = [f"<h2>Originals</h2>{_strip(picture_png(originals, originals))}", _KEY]
    for size, chosen in groups:
        figures = "".join(_figure(measured, comparison) for measured in chosen)
        shown.append(f"<h2>At about {size:.3g} bytes a sample</h2>")
        shown.append(f'<div class="side">{figures}</div>')
    return "".join(shown)


def _figure(measured: Measured, comparison: Comparison) -> str:
    error = error_png(measured.preview, comparison.originals)
    below = "" if error is None else _strip(error, "strip error")
    return (
        f"<figure><figcaption>{_label(measured.point, comparison.facts.for_samples)}</figcaption>"
        f"{_strip(picture_png(measured.preview, comparison.originals))}{below}</figure>"
    )


def _strip(png: bytes, kind: str = "strip") -> str:
    return f'<img class="{kind}" alt="samples" src="{data_uri(png)}">'


def _label(point: Point, for_samples: int) -> str:
    quality = "exact" if point.psnr_db == math.inf else f"{point.psnr_db:.1f} dB"
    if point.recall_at_10 is not None:
        quality += f", recall@10 {point.recall_at_10:.3f}"
    size = f"{point.sample_bytes(for_samples):.4g} bytes"
    kind = ' class="ours"' if point.is_ours else ""
    name, setting = html.escape(point.method), html.escape(point.setting)
    return f"<b{kind}>{name}</b> <span>{setting}:</span> {size}, {quality}"


def equal_sizes(comparison: Comparison) -> list[tuple[float, list[Measured]]]:
    """Some sizes in bytes a sample, and of each codec the point nearest to it, if it is near.

    They are quantiles of all points' sizes, where at least two codecs can be set side by side; the
    best comes first.
    """
    count = comparison.facts.for_samples
    sizes = [point.sample_bytes(count) for point in comparison.points]
    groups: list[tuple[float, list[Measured]]] = []
    for size in np.quantile(sizes, _SIZES) if sizes else ():
        chosen = _nearest(comparison, float(size))
        apart = not groups or size > groups[-1][0] * _NEAR
        if len(chosen) > 1 and apart:
            groups.append((float(size), chosen))
    return groups


def _nearest(comparison: Comparison, size: float) -> list[Measured]:
    """Of each codec the point nearest to a size, the best first; none that is far from it."""
    count = comparison.facts.for_samples
    nearest: dict[str, Measured] = {}
    for measured in sorted(comparison.measured, key=lambda m: _distance(m, size, count)):
        nearest.setdefault(measured.point.method, measured)
    near = [m for m in nearest.values() if _distance(m, size, count) <= math.log(_NEAR)]
    return sorted(near, key=lambda measured: -measured.point.psnr_db)


def _distance(measured: Measured, target: float, count: int) -> float:
    return abs(math.log(measured.point.sample_bytes(count) / target))
