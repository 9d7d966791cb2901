"""What to use for a dataset, in words, from measured points alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.comparing.facts import Facts
from engine.comparing.point import Point
from engine.comparing.savings import saving

MAX_LEVELS = 4
_PSNR_STEP_DB = 5
_MOST_PSNR_DB = 80  # whoever wants more asks for a bound
_RECALLS = (0.8, 0.9, 0.95, 0.99)
_CLOSE, _LITTLE = 1.03, 1.05
_LINEAR, _WORTH = "klt", 0.01


@dataclass(frozen=True)
class Level:
    """A demand on quality: its words, and which points meet it."""

    words: str
    meets: Callable[[Point], bool]


def advise(points: Sequence[Point], facts: Facts) -> tuple[str, ...]:
    """One sentence for every quality that somebody might ask for, and one that sums up.

    Only measured points are quoted: at each level the smallest that meets it, everything counted
    for `facts.for_samples`, and the smallest of another codec beside it.
    """
    if not points:
        return ("Nothing could be measured on this data: no codec took it.",)
    levels = [*_bound_levels(points), *_quality_levels(points)]
    ranked = [(level, _rank(points, level, facts)) for level in levels]
    ranked = [(level, found) for level, found in ranked if found]
    lines = [_sentence(level, found, facts) for level, found in ranked]
    winners = [found[0] for _, found in ranked]
    return (
        *lines,
        *_beside_linear(points),
        *_how(winners, facts),
        _summary(points, winners, facts),
    )


def _bound_levels(points: Sequence[Point]) -> list[Level]:
    promised = {point.bound for point in points if point.keeps_bound and point.bound is not None}
    levels = [Level("Without any loss", lambda point: point.keeps_bound and point.bound == 0)]
    for bound in _spread(sorted(promised - {0.0})):
        levels.append(Level(f"With no element off by more than {bound:.4g}", _within(bound)))
    return levels


def _within(bound: float) -> Callable[[Point], bool]:
    return lambda point: point.keeps_bound and point.bound is not None and point.bound <= bound


def _quality_levels(points: Sequence[Point]) -> list[Level]:
    recalls = [point.recall_at_10 for point in points if point.recall_at_10 is not None]
    if recalls:
        return [_recall_level(recall) for recall in _RECALLS if min(recalls) < recall]
    finite = sorted(point.psnr_db for point in points if math.isfinite(point.psnr_db))
    if not finite:
        return []
    tail = len(finite) // 10  # what few codecs reach, or fall below, is nobody's demand
    ends = (min(finite[at], _MOST_PSNR_DB) for at in (tail, -1 - tail))
    first, last = (math.floor(end / _PSNR_STEP_DB) for end in ends)
    return [_psnr_level(at * _PSNR_STEP_DB) for at in _spread(range(first, last + 1))]


def _recall_level(recall: float) -> Level:
    return Level(
        f"With recall@10 of {recall:.2f} or better",
        lambda point: point.recall_at_10 is not None and point.recall_at_10 >= recall,
    )


def _psnr_level(psnr_db: float) -> Level:
    return Level(f"At {psnr_db:g} dB or better", lambda point: point.psnr_db >= psnr_db)


def _spread(values: Sequence[float]) -> list[float]:
    """At most four of some values, first and last among them."""
    if len(values) <= MAX_LEVELS:
        return list(values)
    last = len(values) - 1
    return [values[round(at * last / (MAX_LEVELS - 1))] for at in range(MAX_LEVELS)]


def _rank(points: Iterable[Point], level: Level, facts: Facts) -> list[Point]:
    """The smallest point of every codec that meets the level, smallest first."""
    best: dict[str, Point] = {}
    for point in sorted(points, key=lambda point: point.sample_bytes(facts.for_samples)):
        if level.meets(point):
            best.setdefault(point.method, point)
    return list(best.values())


def _sentence(level: Level, ranked: Sequence[Point], facts: Facts) -> str:
    best, others = ranked[0], ranked[1:]
    size = best.sample_bytes(facts.for_samples)
    text = (
        f"{level.words}: {_named(best)} needs {size:.4g} bytes a sample, "
        f"{_beside_raw(size, facts)} ({_quality(best)})"
    )
    if others:
        text += f"; {_beside(best, others[0], facts)}"
    ours = next((point for point in ranked if point.is_ours), None)
    if ours is not None and not best.is_ours:
        size = ours.sample_bytes(facts.for_samples)
        named = "it" if ours == others[0] else f"{_named(ours)} needs {size:.4g} bytes here, and"
        text += f"; {named} {_break_even(ours, best)}"
    return f"{text}."


def _beside_raw(size: float, facts: Facts) -> str:
    times = facts.sample_bytes / size
    if times >= _LITTLE:
        return f"{times:.1f} times less than raw"
    return (
        "about as much as raw" if times > 1 / _LITTLE else f"{1 / times:.1f} times as much as raw"
    )


def _named(point: Point) -> str:
    return f"{point.method} ({point.setting})"


def _quality(point: Point, *, brief: bool = False) -> str:
    if point.psnr_db == math.inf:
        return "exact"
    if point.recall_at_10 is not None:
        more = f", cosine {point.cosine_similarity:.4f}"
        return f"recall@10 {point.recall_at_10:.3f}{'' if brief else more}"
    more = f", max error {point.max_abs_error:.4g}"
    return f"{point.psnr_db:.1f} dB{'' if brief else more}"


def _beside(best: Point, other: Point, facts: Facts) -> str:
    """How another codec does, and whether its speed makes up for its size."""
    ratio = other.sample_bytes(facts.for_samples) / best.sample_bytes(facts.for_samples)
    size = "as much" if ratio < _CLOSE else f"{ratio - 1:.0%} more"
    speed = other.decode_samples_per_s / best.decode_samples_per_s
    pace = f"{speed:.1f} times as fast" if speed >= 1 else f"{1 / speed:.1f} times slower"
    return f"{_named(other)}, {_quality(other, brief=True)}, needs {size} and decodes {pace}"


def _break_even(ours: Point, best: Point) -> str:
    """From how many samples on a store of ours is smaller, if ever."""
    gained = best.payload_sample_bytes - ours.payload_sample_bytes
    fixed = ours.decoder_bytes + ours.metadata_bytes - best.decoder_bytes - best.metadata_bytes
    if gained <= 0:
        return "stays larger however many samples there are"
    return f"is smaller from {math.ceil(fixed / gained):,} samples on"


def _beside_linear(points: Sequence[Point]) -> Iterator[str]:
    """Whether other codecs of ours are worth more than the linear one."""
    others = dict.fromkeys(p.method for p in points if p.is_ours and p.method != _LINEAR)
    for method in others:
        saved = saving(points, method, _LINEAR)
        if saved is None:
            continue
        if saved < _WORTH:
            yield (
                f"{method} saves nothing over the linear codec at equal quality "
                f"({-saved:+.0%} bytes, networks apart): prefer {_LINEAR}, which is simpler."
            )
        else:
            yield (
                f"{method} saves {saved:.0%} of the bytes of the linear codec at equal quality, "
                f"networks apart."
            )


def _how(winners: Sequence[Point], facts: Facts) -> Iterator[str]:
    """The commands that write the store of ours, trained here, which meets most levels."""
    trained = [point for point in winners if point.is_ours and ", step" in point.setting]
    if not trained:
        return
    point = max(trained, key=trained.count)
    rate, _, step = point.setting.rpartition(", ")
    yield (
        f"To write {_named(point)}: engine train {facts.name} my.codec --arch {point.method} "
        f"--target-bytes {rate.removesuffix(' B')} --for-samples {facts.for_samples}; "
        f"engine compress {facts.name} my.zarr --codec my.codec --{step}"
    )


def _summary(points: Sequence[Point], winners: Sequence[Point], facts: Facts) -> str:
    scope = f"for {facts.for_samples:,} samples like these"
    won = sum(point.is_ours for point in winners)
    if not any(point.is_ours for point in points):
        return f"No codec of ours was measured; all of this is about those of others, {scope}."
    if won == len(winners):
        return f"A store of ours is the smallest at every level, {scope}."
    if won:
        return f"A store of ours is the smallest at {won} of {len(winners)} levels, {scope}."
    return f"A store of ours is the smallest at no level, {scope}: use what is named above."
