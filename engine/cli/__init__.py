"""The `engine` command."""

from __future__ import annotations

import click

from engine import __version__
from engine.cli.commands import CatchErrors
from engine.cli.comparing import bench_command
from engine.cli.data import compress_command, decode_command, encode_command
from engine.cli.inspection import info_command, repair_command, verify_command
from engine.cli.making import pack_command, train_command


@click.group(cls=CatchErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="engine")
def main() -> None:
    """Compress datasets into latent stores, and read them back on demand."""


for command in (
    train_command,
    pack_command,
    compress_command,
    decode_command,
    encode_command,
    info_command,
    verify_command,
    repair_command,
    bench_command,
):
    main.add_command(command)
