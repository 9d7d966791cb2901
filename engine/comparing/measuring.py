"""One codec at one setting: coded, decoded, held against the originals, and kept."""

from __future__ import annotations

from engine.comparing.fidelity import measure_fidelity
from engine.comparing.latent_store import LatentStore
from engine.comparing.method import Method, Setting
from engine.comparing.peers.peer import Refused
from engine.comparing.point import make_point
from engine.comparing.record import PREVIEW_SAMPLES, Measured, Record, Refusal
from engine.comparing.split_samples import SplitSamples


def measure(
    data: SplitSamples, method: Method, setting: Setting, record: Record
) -> Measured | Refusal:
    """Measure on the test samples, unless the record knows the result.

    Raises:
        StorageError: the file system refused.
    """
    known = record.read(data, method, setting)
    if known is None:
        known = _measure(data, method, setting)
        record.write(data, method, setting, known)
    return known


def _measure(data: SplitSamples, method: Method, setting: Setting) -> Measured | Refusal:
    try:
        coded = method.code(data, setting)
    except Refused as refusal:
        return Refusal(method.name, str(setting), str(refusal))
    point = make_point(
        method.name,
        setting,
        is_ours=isinstance(method, LatentStore),
        coded=coded,
        fidelity=measure_fidelity(data.test, coded.decoded, data.survey.fill_values),
    )
    return Measured(point, coded.decoded[:PREVIEW_SAMPLES])
