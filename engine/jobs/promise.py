"""From what a caller asks for to a guarantee in absolute numbers, and what the data say of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from engine.errors import InvalidInput
from engine.guarantee import Guarantee, Kind, Nonfinite
from engine.jobs.survey import Survey, survey
from engine.quality import peak_value
from engine.sources import Source

FillValue = float | Iterable[float] | Literal["auto"] | None


def promise(
    source: Source,
    *,
    max_error: float | str | None,
    lossless: bool,
    min_psnr: float | None,
    nonfinite: Nonfinite | None,
    fill_value: FillValue,
) -> tuple[Guarantee, Survey]:
    """The guarantee, frozen in absolute numbers, and the survey of the data behind it.

    Raises:
        InvalidInput: contradicting or impossible demands.
    """
    kind = _kind(max_error, lossless, min_psnr)
    share, absolute = _parse_max_error(max_error)
    kept = nonfinite or ("keep" if kind != "none" and source.dtype.kind == "f" else "error")
    if kept not in ("error", "keep"):
        raise InvalidInput(f"nonfinite must be error or keep, got {nonfinite!r}")
    looked_for = parse_fill_value(fill_value, source.dtype)
    found = None
    if _needs_range(source, kind, share) or (looked_for is None and _may_have_gaps(source, kind)):
        found = survey(source, looked_for)
    if share is not None and found is not None:
        absolute = share * found.span
    guarantee = Guarantee(
        kind=kind,
        max_error=absolute,
        min_psnr=None if min_psnr is None else float(min_psnr),
        peak=_peak(source, found) if kind == "min-psnr" else None,
        nonfinite=kept,
        fill_values=found.fill_values if found is not None else looked_for or (),
    )
    return guarantee, survey_under(source, guarantee, found)


def survey_under(source: Source, guarantee: Guarantee, found: Survey | None = None) -> Survey:
    """What jobs under a guarantee must know of the data; `found` saves reading them once more.

    Where the promise doesn't depend on them it is what their dtype allows.
    """
    dtype, fill_values = source.dtype, guarantee.fill_values
    if guarantee.kind == "none" or (guarantee.kind == "lossless" and dtype.kind == "f"):
        return Survey(-math.inf, math.inf, int(dtype.kind == "f"), fill_values)
    if dtype.kind != "f" and dtype.itemsize < 4 and not fill_values:
        limits = np.iinfo(dtype)
        return Survey(float(limits.min), float(limits.max), 0, ())
    return found or survey(source, fill_values)


def _needs_range(source: Source, kind: Kind, share: float | None) -> bool:
    """Whether the promise in absolute numbers depends on the range of the data."""
    full = source.dtype in (np.uint8, np.uint16)
    return share is not None or (kind == "min-psnr" and not full)


def _may_have_gaps(source: Source, kind: Kind) -> bool:
    """Whether fill values are worth looking for: what is lossless keeps them anyway."""
    return source.dtype.itemsize > 1 and kind in ("max-error", "min-psnr")


def _peak(source: Source, found: Survey | None) -> float:
    limits = (0.0, 0.0) if found is None else (found.low, found.high)
    return peak_value(source.dtype, *limits)


def _kind(max_error: float | str | None, lossless: bool, min_psnr: float | None) -> Kind:
    asked: list[Kind] = []
    if max_error is not None:
        asked.append("max-error")
    if lossless:
        asked.append("lossless")
    if min_psnr is not None:
        asked.append("min-psnr")
    if len(asked) > 1:
        raise InvalidInput(f"a store has one guarantee, got {' and '.join(asked)}")
    return asked[0] if asked else "none"


def _parse_max_error(max_error: float | str | None) -> tuple[float | None, float | None]:
    """A share of the data's range or an absolute bound, whichever `max_error` is."""
    if max_error is None:
        return None, None
    text = str(max_error).strip()
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InvalidInput(
            f"max_error must be a number of 0 or more in the data's units, or a percentage of "
            f"their range such as 0.1%, got {max_error!r}"
        )
    return (value / 100, None) if text.endswith("%") else (None, value)


def absolute_bound(max_error: float | str | None, data_range: tuple[float, float]) -> float | None:
    """`max_error` in the data's units, whether it is a number of these or a share of their range.

    Raises:
        InvalidInput: it is neither.
    """
    share, absolute = _parse_max_error(max_error)
    return absolute if share is None else share * (data_range[1] - data_range[0])


def parse_fill_value(fill_value: Any, dtype: np.dtype[Any]) -> tuple[float, ...] | None:
    """Values to keep bit for bit; None where they are to be looked for."""
    if isinstance(fill_value, str) and fill_value == "auto":
        return None
    if fill_value is None:
        return ()
    values = np.atleast_1d(np.asarray(fill_value))
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise InvalidInput(f"fill_value must be auto or a number, got {fill_value!r}")
    # NaN marks gaps in many files, and is kept anyway.
    marks = tuple(value.item() for value in values if math.isfinite(value))
    with np.errstate(over="ignore", invalid="ignore"):
        held = values[np.isfinite(values)].astype(dtype)
    for mark, value in zip(marks, held, strict=True):
        if not (np.isfinite(value) and (dtype.kind == "f" or value.item() == mark)):
            raise InvalidInput(f"no sample of {dtype} can be the fill_value {mark}")
    return tuple(value.item() for value in held)
