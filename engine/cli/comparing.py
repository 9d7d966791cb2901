"""The command that compares codecs with what others would use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.commands import json_option, key_option, print_json, progress_bar

if TYPE_CHECKING:
    from engine.comparing.comparison import Comparison

PEERS = (
    "zstd", "blosc2", "pcodec", "zfp", "sz3", "sperr", "jpeg", "jpeg-2000", "webp", "jpeg-xl",
    "quantised", "faiss",
)  # fmt: skip
TRAINED = ("klt", "transform", "conv-transform")
NOTHING = "nothing"
_WIDTH = 200  # where nothing tells how wide the terminal is
_NARROW = 140
_LEFT_OUT = {
    "layout",
    "payload",
    "decoder",
    "encodes/s",
    "cosine",
    "inner product",
}  # of a narrow terminal


@click.command("bench")
@click.argument("data")
@click.option(
    "--codec", "codecs", multiple=True, type=click.Path(path_type=Path),
    help="A trained codec to measure; may be repeated.",
)  # fmt: skip
@click.option(
    "--train", "train", multiple=True, type=click.Choice((*TRAINED, NOTHING)),
    help="Train this codec at several rates; may be repeated. Without it klt, and where no --codec "
    "is given the network that suits the samples.",
)  # fmt: skip
@click.option(
    "--peers", multiple=True, type=click.Choice(PEERS),
    help="Measure only this family of others' codecs; may be repeated.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for tables, plots and a page; the same command goes on where it stopped.",
)  # fmt: skip
@click.option(
    "--held-out", metavar="DATA",
    help="Samples of the same kind that no codec was trained on; a part of DATA without it.",
)  # fmt: skip
@click.option(
    "--for-samples", type=click.IntRange(1), metavar="N",
    help="Samples that share a decoder's bytes; as many as DATA has without it.",
)  # fmt: skip
@click.option(
    "--test-samples", type=click.IntRange(1), default=1024, show_default=True,
    help="Samples to measure on, of DATA at most a fifth.",
)  # fmt: skip
@click.option("--chunk-samples", type=click.IntRange(1), help="Samples of a chunk, for all codecs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws what is held out.")
@key_option
@json_option
def bench_command(data: str, *, train: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Compare codecs on DATA: ours, trained here, and those that others would use.

    A part of DATA is held out. Codecs of ours learn from the rest, at several rates; all are
    measured on what was held out: coded at several settings and decoded again, every byte counted.
    Ends with advice.

    A --codec that you trained is only measured: hold out samples that it never saw (--held-out),
    or it is flattered.

    Example: engine bench digits.npy --train klt --peers jpeg-xl --out compared
    """
    from engine.comparing.compare import compare

    chosen = [name for name in train if name != NOTHING] if train else None
    with progress_bar("comparing") as update:
        found = compare(data, train=chosen, progress=update, **options)
    if as_json:
        print_json(found.to_json())
        return
    _print(found)
    if options["out"] is not None:
        click.echo(f"wrote {options['out']}")


def _print(found: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    from engine.comparing.table import heading, introduction, refusal_lines, rows

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDTH)
    names, left_out = heading(found), _LEFT_OUT if console.width < _NARROW else set()
    table = Table(box=None)
    for place, name in enumerate(names):
        if name not in left_out:
            table.add_column(name, justify="left" if place < 3 else "right", no_wrap=True)
    for row in rows(found):
        shown = zip(names, row, strict=True)
        table.add_row(*(cell for name, cell in shown if name not in left_out))
    click.echo(introduction(found))
    console.print(table)
    for line in (*found.missing, *refusal_lines(found)):
        click.echo(line)
    for line in found.advice:
        click.echo(f"advice: {line}")
