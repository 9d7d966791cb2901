"""Commands that move data: compress, decode, encode."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.commands import (
    device_option,
    fill_value_option,
    incomplete_option,
    json_option,
    key_option,
    memory_option,
    overwrite_option,
    print_json,
    print_table,
    progress_bar,
    psnr_text,
    sidecars_option,
    size_text,
    step_option,
)

if TYPE_CHECKING:
    from engine.jobs.report import CompressionReport


@click.command("compress")
@click.argument("data")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--codec", required=True, type=click.Path(path_type=Path), help="The codec to use.")
@click.option(
    "--max-error", metavar="E",
    help="Guarantee: no element off by more, in the data's units, or 0.1% of their range.",
)  # fmt: skip
@click.option("--lossless", is_flag=True, help="Guarantee: every sample comes back bit for bit.")
@click.option("--min-psnr", type=float, metavar="DB", help="Guarantee: no sample's PSNR is lower.")
@click.option(
    "--nonfinite", type=click.Choice(["error", "keep"]),
    help="Refuse NaN and Inf, or keep them bit for bit; kept by default under a guarantee.",
)  # fmt: skip
@fill_value_option
@click.option(
    "--keep-latents/--no-latents", default=True, show_default=True,
    help="Whether latents are stored also where the guarantee is cheaper without a network.",
)  # fmt: skip
@sidecars_option
@click.option("--chunk-samples", type=click.IntRange(1), help="Samples that one read decompresses.")
@click.option("--shard-samples", type=click.IntRange(1), help="Samples per object on the disk.")
@click.option(
    "--encoder", type=click.Choice(["auto", "float32", "int8", "float16"]), default="auto",
    show_default=True, help="A cheaper encoder; auto takes one where it pays and loses < 0.05 dB.",
)  # fmt: skip
@click.option("--batch", type=click.IntRange(1), help="Samples per run; measured in long jobs.")
@click.option("--threads", type=click.IntRange(1), help="Shards at once; measured in long jobs.")
@click.option(
    "--keep-encoder/--no-encoder", default=True, show_default=True,
    help="Whether the store carries the encoder besides the decoder.",
)  # fmt: skip
@click.option(
    "--quality/--no-quality", default=True, show_default=True,
    help="Whether every sample is decoded again and its error stored.",
)  # fmt: skip
@click.option(
    "--portable", is_flag=True,
    help="Core Zarr codecs only, so that every Zarr tool opens every array.",
)  # fmt: skip
@step_option
@key_option
@device_option
@overwrite_option
@json_option
def compress_command(data: str, store: Path, *, as_json: bool, **options: Any) -> None:
    """Compress DATA into the latent store STORE.

    Killed or interrupted, the same command goes on at the first shard that was not committed.

    Example: engine compress digits.npy digits.zarr --codec digits.codec --max-error 8
    """
    import engine

    with progress_bar("compressing") as update:
        report = engine.compress(data, store, progress=update, **options)
    if as_json:
        rate = report.samples_per_s
        print_json(report, ratio=report.ratio, samples_per_s=rate, advice=report.advice)
        return
    click.echo(f"wrote {store}")
    print_table(
        {
            "samples": f"{report.samples} x {report.dtype} {report.sample_shape}",
            "bytes": f"{size_text(report.raw_bytes)} -> {size_text(report.stored_bytes)}, "
            f"everything counted (networks {size_text(report.codec_bytes)})",
            "ratio": f"{report.ratio:.2f}",
            "guarantee": f"{report.guarantee}{_kept_text(report)}",
            "PSNR": f"{psnr_text(report.psnr_db)}, worst sample {psnr_text(report.worst_psnr_db)}",
            "max error": "not measured"
            if math.isnan(report.max_abs_error)
            else f"{report.max_abs_error:.6g}",
            "saturated": f"{report.saturated_fraction:.2%} of latents",
            "speed": f"{report.samples_per_s:,.0f} samples/s on {report.device}, "
            f"{report.encoder} encoder"
            if report.samples_written
            else "nothing to do: the store was complete",
        }
    )
    if report.advice:
        click.echo(f"advice: {report.advice}")


def _kept_text(report: CompressionReport) -> str:
    """How the shards of a store with a guarantee keep it."""
    ways = [f"{count} shards of {mode}" for mode, count in report.modes.items() if count]
    return f" ({', '.join(ways)})" if report.guarantee != "none" else ""


@click.command("decode")
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--rows", default=":", show_default=True, help="Which samples, such as 100:200.")
@incomplete_option
@memory_option
@device_option
@overwrite_option
@json_option
def decode_command(store: Path, out: Path, *, as_json: bool, **options: Any) -> None:
    """Decode samples of STORE into OUT, a .npy file or a plain .zarr array.

    Example: engine decode digits.zarr some.npy --rows 100:200
    """
    import engine

    with progress_bar("decoding") as update:
        shape = engine.decode(store, out, progress=update, **options)
    _print_written(out, shape, as_json=as_json)


@click.command("encode")
@click.argument("data")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--codec", required=True, type=click.Path(path_type=Path), help="The codec to use.")
@click.option("--features", is_flag=True, help="Write float32 values instead of the integers.")
@step_option
@key_option
@device_option
@overwrite_option
@json_option
def encode_command(data: str, out: Path, *, as_json: bool, **options: Any) -> None:
    """Encode DATA into OUT, a .npy file or a plain .zarr array of latents.

    Example: engine encode digits.npy latents.npy --codec digits.codec
    """
    import engine

    with progress_bar("encoding") as update:
        shape = engine.encode(data, out, progress=update, **options)
    _print_written(out, shape, as_json=as_json)


def _print_written(out: Path, shape: tuple[int, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(out), "shape": shape})
    else:
        click.echo(f"wrote {out}: {shape}")
