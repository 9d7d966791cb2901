"""Commands that look: info, verify."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.commands import (
    device_option,
    incomplete_option,
    json_option,
    key_option,
    memory_option,
    print_json,
    print_table,
    progress_bar,
    sidecars_option,
    size_text,
)

if TYPE_CHECKING:
    from engine.reading.store import Store
    from engine.runtime.codec import Codec


@click.command("info")
@click.argument("path", type=click.Path(path_type=Path))
@incomplete_option
@memory_option
@device_option
@click.option("--retune", is_flag=True, help="Measure again how to run a codec quickest here.")
@json_option
def info_command(path: Path, *, device: str, retune: bool, as_json: bool, **options: Any) -> None:
    """Say what PATH, a codec or a store, is and holds, and how a codec runs quickest here.

    Example: engine info digits.zarr
    """
    import engine
    from engine.store.arrays import METADATA

    if (path / METADATA).exists():
        with engine.open(path, device, certify=False, **options) as store:
            facts = store_facts(store)
    else:
        limit = options["max_memory_bytes"]
        codec = engine.Codec.load(path, device, max_memory_bytes=limit)
        facts = codec_facts(codec) | _measured(codec, retune=retune)
    if as_json:
        print_json(facts)
    else:
        print_table({name.replace("_", " "): _text(name, value) for name, value in facts.items()})


@click.command("verify")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--against", metavar="DATA", help="The original data, to compare with.")
@key_option
@memory_option
@device_option
@json_option
def verify_command(store: Path, *, as_json: bool, **options: Any) -> None:
    """Check every object of STORE and this device, and the guarantee against the original data.

    Exits with 1 if anything is wrong, and names every damaged, missing or surplus object.

    Example: engine verify digits.zarr --against digits.npy
    """
    import engine

    with progress_bar("verifying") as update:
        result = engine.verify(store, progress=update, **options)
    if as_json:
        print_json(result, ok=result.ok)
    else:
        for problem in result.problems:
            click.echo(problem)
        found = f"{len(result.problems)} problems" if result.problems else "ok"
        drift = ""
        if result.drift is not None:
            drift = f", drift {result.drift:.3g} of at most {result.accepted_drift:.3g}"
        click.echo(
            f"{store}: {found} ({result.objects_checked} objects checked, "
            f"{result.samples_compared} samples compared{drift})"
        )
    if not result.ok:
        click.get_current_context().exit(1)


@click.command("repair")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--from", "data", required=True, metavar="DATA", help="What the store was made of.")
@click.option(
    "--codec", type=click.Path(path_type=Path),
    help="The codec, where the store's own copy is damaged or has no encoder.",
)  # fmt: skip
@sidecars_option
@key_option
@device_option
@json_option
def repair_command(store: Path, *, as_json: bool, **options: Any) -> None:
    """Make the damaged objects of STORE again, and touch nothing else.

    Example: engine repair digits.zarr --from digits.npy
    """
    import engine

    with progress_bar("repairing") as update:
        report = engine.repair(store, progress=update, **options)
    if as_json:
        print_json(report)
        return
    for verb, names in (("made again", report.repaired), ("removed", report.removed)):
        for name in names:
            click.echo(f"{verb}: {name}")
    if not (report.repaired or report.removed):
        click.echo(f"{store}: nothing is damaged, nothing was changed")
        return
    same = "as they were" if report.identical else "anew, within the guarantee"
    click.echo(
        f"{store}: {len(report.repaired)} objects made again, {same}; {len(report.removed)} removed"
    )


def codec_facts(codec: Codec) -> dict[str, Any]:
    """What a person wants to know of a codec; JSON-able."""
    from engine.codec.certificate import read_certificate, uncertified_reason

    manifest = codec.manifest
    certificate = read_certificate(codec.files)
    drift: dict[str, Any] = {"uncertified": uncertified_reason(manifest)}
    if certificate is not None:
        drift = {name: getattr(certificate, name) for name in ("deviation", "tolerance")}
    return {
        "kind": "codec",
        "digest": codec.digest,
        "sample_shape": codec.sample_shape,
        "dtype": codec.dtype.name,
        "data_range": manifest.sample.data_range,
        "latent_shape": codec.latent_shape,
        "latent_dtype": manifest.latent.dtype.name,
        "bytes_per_sample": manifest.latent.size_bytes,
        "drift": drift,
        "files": {entry.name: entry.size_bytes for entry in manifest.files},
        "networks": {role: network_facts(codec, role) for role in codec.roles},
        "calibration": dict(manifest.calibration),
        "training": dict(manifest.training),
    }


def network_facts(codec: Codec, role: str) -> dict[str, Any]:
    """Bytes of a network in the folder and in a store, and how many weights are kept how."""
    from engine.codec.graph import NETWORK_PREFIX
    from engine.codec.graph_model import parse_model
    from engine.codec.narrow_weights import count_weights
    from engine.store.byte_array import stored_bytes

    content = codec.files.role(role)
    return {
        "size_bytes": len(content),
        "stored_bytes": stored_bytes(content),
        "weights": count_weights(parse_model(content), NETWORK_PREFIX),
    }


def _measured(codec: Codec, *, retune: bool) -> dict[str, Any]:
    """How this codec runs quickest here; JSON-able."""
    from engine.codec.files import ENCODER
    from engine.runtime.encoder_choice import encoder_speed_ups
    from engine.runtime.tuning import tune

    tuning = tune(codec, refresh=retune).to_json()
    if ENCODER not in codec.roles:
        return {"tuning": tuning}
    return {"tuning": tuning, "encoder_speed_ups": encoder_speed_ups(codec, refresh=retune)}


def store_facts(store: Store) -> dict[str, Any]:
    """What a person wants to know of a store; JSON-able."""
    from engine.reading.certification import store_certificate
    from engine.store.latent_cost import latent_cost
    from engine.store.plan import QUANTISED, RESIDUALS, VERBATIM

    summary, contents = store.summary, store.contents
    cost = latent_cost(contents)
    certificate = store_certificate(contents)
    return {
        "kind": "store",
        "store_id": store.contents.head.store_id,
        "shape": store.shape,
        "committed_samples": summary.samples,
        "dtype": store.dtype.name,
        "raw_bytes": summary.raw_bytes,
        "stored_bytes": summary.stored_bytes,
        "ratio": summary.ratio,
        "latent_bytes": summary.latent_bytes,
        "latents": None if cost is None else dataclasses.asdict(cost),
        "codec_bytes": summary.codec_bytes,
        "guarantee": summary.guarantee,
        "encoder": contents.head.fingerprint["encoder"]["name"],
        "shards": {mode: count for mode, count in summary.modes.items() if count},
        "exceptions": summary.exceptions,
        "patches": summary.patches,
        "accepted_drift": None if certificate is None else certificate.accepted,
        "coded": {
            name: str(array.coded)
            for name, array in contents.arrays.items()
            if name in (RESIDUALS, QUANTISED, VERBATIM) and contents.stored_bytes(name)
        },
        "portable": contents.head.portable,
        "psnr_db": summary.psnr_db,
        "worst_psnr_db": summary.worst_psnr_db,
        "max_abs_error": summary.max_abs_error,
        "saturated_fraction": summary.saturated_fraction,
        "step": store.step,
        "latent_shape": store.codec.latent_shape,
        "latent_dtype": store.codec.manifest.latent.dtype.name,
        "chunk_samples": store.contents.part.chunk_samples,
        "shard_samples": store.contents.part.shard_samples,
        "sidecars": store.sidecar_names,
        "codec": store.codec.digest,
    }


def _text(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        return size_text(value)
    if isinstance(value, float):
        return "not measured" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, dict):
        return (
            ", ".join(
                f"{key} {_text(key, item)}"
                for key, item in value.items()
                if not isinstance(item, list)
            )
            or "none"
        )
    return str(value)
