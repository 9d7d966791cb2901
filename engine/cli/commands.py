"""What every command shares: one-line errors, the common options, JSON and progress."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from engine.errors import EngineError, one_line
from engine.limits import DEFAULT_MEMORY_LIMIT

if TYPE_CHECKING:
    from engine.training import Progress

INTERRUPTED, TERMINATED = 130, 143
_RESUMABLE = ("train", "compress", "repair", "bench")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{unit}i": 1 << 10 * power for power, unit in enumerate("kmgt", 1)}


class Size(click.ParamType[int]):
    """A number of bytes: 4GB, 512MiB or 1000000."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Bytes as an integer."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]i?)?b?", str(value).strip(), re.IGNORECASE)
        if found is None:
            self.fail(f"{value!r} is no size; write 4GB, 512MiB or a number of bytes", param, ctx)
        number, unit = found.groups()
        return int(float(number) * _UNITS[(unit or "").lower()])


device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where networks run; cuda fails if it can't, auto says what it chose.",
)
key_option = click.option("--key", help="Which array of an .npz file or Zarr group.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
incomplete_option = click.option(
    "--incomplete",
    is_flag=True,
    help="Also open a store that is still being written, for what is committed.",
)
memory_option = click.option(
    "--max-memory",
    "max_memory_bytes",
    type=Size(),
    default=DEFAULT_MEMORY_LIMIT,
    show_default="4GiB",
    help="Largest allocation that the store may ask for, such as 16GB.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is there.")
sidecars_option = click.option(
    "--with",
    "sidecars",
    multiple=True,
    metavar="[NAME=]PATH",
    help="An array of one item a sample to carry along, such as labels.npy; may be repeated.",
)


class FillValue(click.ParamType[Any]):
    """A number, `auto` or `none`."""

    name = "V|auto|none"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """A float, "auto" or None."""
        if value in ("auto", "none", None):
            return "auto" if value == "auto" else None
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor auto nor none", param, ctx)


def _fill_value(values: tuple[Any, ...]) -> Any:
    """What the library takes: "auto", None or numbers."""
    numbers = tuple(value for value in values if value not in ("auto", None))
    return numbers or values[-1]


fill_value_option = click.option(
    "--fill-value",
    type=FillValue(),
    multiple=True,
    default=("auto",),
    show_default="auto",
    callback=lambda ctx, param, values: _fill_value(values),
    help="Value that marks missing elements, may be repeated; auto finds one far from all others.",
)
step_option = click.option(
    "--step", type=float, default=1.0, show_default=True, help="Scale of the quantiser."
)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send before they kill: it leaves in order what Ctrl-C does."""


class CatchErrors(click.Group):
    """Turns errors into one line and exit code 1, Ctrl-C into 130, SIGTERM into 143."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with _sigterm_raises():
                return super().invoke(ctx)
        except EngineError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt as stop:
            resumes = ctx.invoked_subcommand in _RESUMABLE
            what = "run the same command again to go on" if resumes else "nothing was written"
            click.echo(f"interrupted: {what}", err=True)
            ctx.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click ends quietly where nobody reads on
        except Exception as error:
            if os.environ.get("ENGINE_TRACEBACK"):
                raise
            kind = type(error).__name__
            click.echo(
                f"error: unexpected {kind}: {one_line(error)} (ENGINE_TRACEBACK=1 shows where)",
                err=True,
            )
            ctx.exit(1)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_json(value: Any, **more: Any) -> None:
    """Print a dataclass or mapping as JSON; what JSON can't say (infinity) becomes null."""
    fields = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else dict(value)  # type: ignore[arg-type]
    click.echo(json.dumps(_finite(fields | more), indent=1))


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[..., None]]:
    """A bar on standard error; call it with how much is done of how much, and a note if any."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield update


@contextlib.contextmanager
def training_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar on standard error for `engine.train`: steps, time left and losses."""
    with progress_bar("training") as update:

        def show(state: Progress) -> None:
            done = (state.epoch - 1) * state.steps + state.step
            held_out = "" if state.validation_loss is None else f", {state.validation_loss:.4g}"
            note = f"epoch {state.epoch}/{state.epochs}, loss {state.train_loss:.4g}{held_out}"
            update(done, state.epochs * state.steps, note)

        yield show


def size_text(count: float) -> str:
    """Bytes for people: 3.9 MB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def psnr_text(psnr: float | None, mean_squared_error: float | None = None) -> str:
    """A PSNR in dB for people; JSON has None for both kinds of infinity."""
    if mean_squared_error == 0 or psnr == math.inf:
        return "exact"
    if psnr is not None and math.isnan(psnr):
        return "not measured"
    if psnr is None or psnr == -math.inf:
        return "undefined (all data have one value)"
    return f"{psnr:.2f} dB"


def print_table(rows: dict[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {value}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
