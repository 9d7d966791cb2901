"""Commands that make codecs: train, pack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.commands import (
    device_option,
    fill_value_option,
    json_option,
    key_option,
    overwrite_option,
    print_json,
    print_table,
    psnr_text,
    size_text,
    training_bar,
)

if TYPE_CHECKING:
    from engine.codec.manifest import Bits
    from engine.runtime.codec import Codec

ARCHITECTURES = ("conv", "deep", "denoising", "dense", "sparse", "vae")
FOR_A_RATE = ("klt", "transform", "conv-transform")

_bits_choice = click.Choice(["8", "16"])
_weights_choice = click.Choice(["auto", "float32", "float16", "int8"])
_weights_help = "How the networks' weights are kept; auto: as small as a loss of 0.02 dB allows."
fill_gaps_option = click.option(
    "--fill-gaps",
    is_flag=True,
    help="Take data with NaN, Inf and fill values, replaced by the mean of their sample.",
)
channels_option = click.option(
    "--channels",
    type=click.Choice(["auto", "first", "last", "none"]),
    default="auto",
    show_default=True,
    help="Which axis of a sample holds its channels.",
)


@click.command("train")
@click.argument("data")
@click.argument("codec", type=click.Path(path_type=Path))
@click.option(
    "--arch",
    type=click.Choice(("auto", *FOR_A_RATE, *ARCHITECTURES)),
    default="auto",
    show_default=True,
)
@click.option(
    "--latent-dim", type=click.IntRange(1), help="Numbers per latent; for a rate at most."
)
@click.option(
    "--target-psnr",
    type=float,
    metavar="DB",
    help="For a rate: PSNR of held-out samples; 30 where no target is given.",
)
@click.option("--target-bytes", type=float, help="For a rate: bytes a sample's latents take.")
@click.option("--rate-lambda", type=float, help="For a rate: squared error a bit may cost.")
@click.option("--max-error", metavar="E", help="For a rate: bound of its stores, a number or 1%.")
@click.option(
    "--for-samples",
    type=click.IntRange(1),
    help="For a rate: samples that share the decoder, whose bytes then count; with --arch auto as "
    "many as DATA has.",
)
@click.option(
    "--metric", type=click.Choice(["error", "cosine"]), default="error", show_default=True,
    help="What counts; cosine, of vectors: inner products and neighbours.",
)  # fmt: skip
@click.option("--loss", type=click.Choice(["mse", "bce"]), default="mse", show_default=True)
@click.option("--epochs", type=click.IntRange(1), help="20, of transforms thousands of steps.")
@click.option(
    "--batch-size", type=click.IntRange(1), help="64, of transform 128, of conv-transform by size."
)
@click.option("--learning-rate", type=float, help="Peak of the schedule.")
@click.option(
    "--patience", type=click.IntRange(1),
    help="Epochs without a better validation loss before it ends: 10, of transforms all.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--arch-option", "arch_options", multiple=True, metavar="NAME=NUMBER",
    help="A further option of the architecture, such as noise=0.3.",
)  # fmt: skip
@fill_gaps_option
@fill_value_option
@click.option("--bits", type=_bits_choice, help="Bits per latent: 8, or for a rate what it needs.")
@click.option(
    "--weights", type=_weights_choice, default="auto", show_default=True, help=_weights_help
)
@channels_option
@key_option
@device_option
@overwrite_option
@json_option
def train_command(
    data: str,
    codec: Path,
    *,
    bits: str | None,
    arch_options: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Train an autoencoder on DATA and make the codec CODEC of it.

    DATA is a .npy, .npz or IDX file, a Zarr array or a folder of images. Interrupted with Ctrl-C,
    the same command goes on where it stopped.

    klt, the linear codec, transform, a network trained from it on, and conv-transform, the same for
    larger images and volumes, meet a target that you give: --target-psnr, --target-bytes,
    --rate-lambda or --max-error. The others take --latent-dim.

    Example: engine train digits.npy digits.codec --target-psnr 25
    """
    import engine

    numbers = dict(map(_named_number, arch_options))
    with training_bar() as show:
        trained = engine.train(
            data,
            codec,
            bits=None if bits is None else _bits(bits),
            arch_options=numbers,
            progress=show,
            **options,
        )
    _print_codec(trained, codec, as_json=as_json)


@click.command("pack")
@click.argument("encoder", type=click.Path(path_type=Path))
@click.argument("decoder", type=click.Path(path_type=Path))
@click.argument("codec", type=click.Path(path_type=Path))
@click.option("--calibrate", required=True, metavar="DATA", help="Samples like those to compress.")
@click.option(
    "--input-range", type=float, nargs=2, metavar="LOW HIGH",
    help="What the networks expect the data's range mapped onto, such as 0 1 or -1 1.",
)  # fmt: skip
@fill_gaps_option
@fill_value_option
@click.option("--bits", type=_bits_choice, default="8", show_default=True, help="Bits per latent.")
@click.option(
    "--weights", type=_weights_choice, default="float32", show_default=True, help=_weights_help
)
@key_option
@device_option
@overwrite_option
@json_option
def pack_command(
    encoder: Path, decoder: Path, codec: Path, *, bits: str, as_json: bool, **options: Any
) -> None:
    """Make the codec CODEC of your own ENCODER.onnx and DECODER.onnx.

    The encoder takes float32 samples and returns float32 latents, the decoder brings them back;
    scaling and quantisation are wrapped around them.

    Example: engine pack encoder.onnx decoder.onnx my.codec --calibrate digits.npy --input-range 0 1
    """
    import engine

    packed = engine.pack(encoder, decoder, codec, bits=_bits(bits), **options)
    _print_codec(packed, codec, as_json=as_json)


def _print_codec(codec: Codec, path: Path, *, as_json: bool) -> None:
    from engine.cli.inspection import codec_facts
    from engine.codec.files import DECODER, ENCODER

    if as_json:
        print_json(codec_facts(codec))
        return
    click.echo(f"wrote {path}")
    measured = codec.manifest.calibration
    psnr = psnr_text(measured["psnr_db"], measured["mean_squared_error"])
    print_table(
        {
            **_architecture(codec.manifest.training),
            "samples": f"{codec.dtype} {codec.sample_shape}",
            "latents": f"{codec.manifest.latent.dtype} {codec.latent_shape}",
            "PSNR": f"{psnr} on {measured['samples']} samples",
            "networks": size_text(
                sum(codec.manifest.file(r).size_bytes for r in (ENCODER, DECODER))
            ),
            "device": codec.device,
        }
    )


def _architecture(record: Mapping[str, Any]) -> dict[str, str]:
    """What was trained, and why it is not what was to be; nothing of networks that were given."""
    options = record.get("options")
    if options is None:
        return {}
    instead = options.get("better_than")
    reason = f", better here than {instead}" if instead else ""
    return {"architecture": options["architecture"] + reason}


def _bits(choice: str) -> Bits:
    return 8 if choice == "8" else 16


def _named_number(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise click.BadParameter(f"{text!r}: expected NAME=NUMBER") from None
