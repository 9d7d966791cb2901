"""The job that wrote a store, as the store's fingerprint has it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from engine.codec.files import ENCODER, MANIFEST
from engine.errors import CorruptStore, IncompatibleStore, InvalidInput
from engine.guarantee import Guarantee
from engine.jobs.compression_job import CompressionJob
from engine.jobs.fingerprint import identify
from engine.jobs.fit import check_fit
from engine.jobs.promise import survey_under
from engine.jobs.running import Running, make_encoder
from engine.jobs.sidecars import LostSidecar, Sidecar, open_sidecars
from engine.jobs.survey import Survey
from engine.runtime.codec import Codec
from engine.sources import Source
from engine.store.arrays import METADATA
from engine.store.contents import StoreContents
from engine.store.plan import SIDECARS, SidecarFormat

_MEMBERS = {
    "data", "sidecars", "encoder", "guarantee", "step", "keep_latents", "keep_encoder", "portable",
    "quality", "chunk_samples", "shard_samples",
}  # fmt: skip


def former_job(
    contents: StoreContents,
    source: Source,
    codec: Codec | str | os.PathLike[str] | None,
    sidecars: Mapping[str, Any] | Sequence[Any] | None,
    device: str,
) -> CompressionJob:
    """The job that wrote a store; what of its sidecars is not given can't be read.

    Raises:
        InvalidInput: data, codec or a sidecar are not those that the store was made of, or are
            needed.
        CorruptStore: the store's own copy of the codec is damaged.
        IncompatibleStore: another version of the engine wrote it.
    """
    opened = _codec(contents, codec, device)
    check_fit(source, opened)
    wanted = contents.head.fingerprint
    missing = _MEMBERS - wanted.keys()
    if missing:
        raise IncompatibleStore(
            f"{contents.objects}: was written by another version of the engine (the head's "
            f"fingerprint has no {min(missing)}); compress the data again"
        )
    if identify(source) != wanted["data"]:
        raise InvalidInput(f"{source.name}: is not the data that {contents.objects} was made of")
    guarantee = Guarantee.from_json(wanted["guarantee"])
    survey = survey_under(source, guarantee)
    return CompressionJob(
        store=contents.objects,
        source=source,
        sidecars=_sidecars(contents, sidecars, len(source)),
        identity={name: wanted[name] for name in ("data", "sidecars")},
        running=_running(contents, opened, source, survey),
        guarantee=guarantee,
        survey=survey,
        step=wanted["step"],
        keep_latents=wanted["keep_latents"],
        keep_encoder=wanted["keep_encoder"],
        has_quality=wanted["quality"],
        portable=wanted["portable"],
        sizes=(wanted["chunk_samples"], wanted["shard_samples"]),
        may_use_network=_has_networks(contents),
    )


def _running(contents: StoreContents, codec: Codec, source: Source, survey: Survey) -> Running:
    """The codec with the kind of encoder that made the store's latents.

    Another machine may make another graph of that kind: what comes out is compared anyway.
    """
    recorded = contents.head.fingerprint["encoder"]
    name: Any = recorded.get("name") if isinstance(recorded, Mapping) else recorded
    if ENCODER in codec.roles:
        codec = make_encoder(codec, source, survey, name).apply(codec)
    return Running(codec, recorded, codec.batch_samples, 1)


def _has_networks(contents: StoreContents) -> bool:
    """Whether the store wasn't sealed without networks because no shard needs them."""
    folder = f"codecs/{contents.head.codec}/"
    manifest = (f"{folder}{MANIFEST}/", f"{folder}{METADATA}")
    return any(
        key.startswith(folder) and not key.startswith(manifest) for key in contents.head.objects
    )


def _codec(
    contents: StoreContents, given: Codec | str | os.PathLike[str] | None, device: str
) -> Codec:
    """The codec that the store was written with."""
    if given is None:
        return Codec(contents.codec_files, device)
    codec = (given if isinstance(given, Codec) else Codec.load(given, device)).on(device)
    if codec.digest != contents.head.codec:
        raise InvalidInput(
            f"{contents.objects}: was written with the codec {contents.head.codec[:12]}…, "
            f"not with {codec.digest[:12]}…"
        )
    return codec


def _sidecars(
    contents: StoreContents, given: Mapping[str, Any] | Sequence[Any] | None, samples: int
) -> dict[str, Sidecar | LostSidecar]:
    """The sidecars that were given, and stand-ins for the rest."""
    opened: dict[str, Sidecar | LostSidecar] = dict(open_sidecars(given, samples))
    wanted = contents.head.fingerprint["sidecars"]
    for name, sidecar in opened.items():
        if isinstance(sidecar, Sidecar) and identify(sidecar.source) != wanted.get(name):
            raise InvalidInput(f"{contents.objects}: was written with another sidecar {name!r}")
    for name in wanted:
        if name not in opened:
            opened[name] = LostSidecar(name, _kept_format(contents, name))
    return opened


def _kept_format(contents: StoreContents, name: str) -> SidecarFormat:
    try:
        array = contents.arrays[f"{SIDECARS}/{name}"]
    except CorruptStore as error:
        raise InvalidInput(
            f"{error}; to repair that, pass all sidecars, {name!r} too (--with {name}=PATH)"
        ) from None
    return SidecarFormat(array.item_shape, array.dtype, array.attributes)
