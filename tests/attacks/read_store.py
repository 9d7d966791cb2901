"""Reads a store in every way that there is."""

import click
import numpy as np
from click.testing import CliRunner

import engine
from engine.cli import main
from engine.errors import EngineError
from engine.store.contents import StoreContents


def ways(path):
    """Name and function of every way to read a store; those that need it open it anew."""
    yield "open", lambda: engine.open(path, "cpu").close()
    yield "samples", lambda: engine.open(path, "cpu")[:]
    yield "one sample", lambda: engine.open(path, "cpu", certify=False)[3]
    yield "latents", lambda: engine.open(path, "cpu", certify=False).read_latents()
    yield "array of latents", lambda: engine.open(path, "cpu", certify=False).latents[:]
    yield "quality", lambda: engine.open(path, "cpu", certify=False).quality
    yield "sidecars", lambda: dict(engine.open(path, "cpu", certify=False).sidecars)
    yield "committed", lambda: engine.open(path, "cpu", certify=False).committed
    yield "summary", lambda: engine.open(path, "cpu", certify=False).summary
    yield "incomplete", lambda: StoreContents(path, incomplete=True).ledger
    yield "array", lambda: np.asarray(engine.open(path, "cpu", certify=False))
    yield "verify", lambda: engine.verify(path, device="cpu")
    for command in ("info", "verify"):
        yield command, lambda command=command: run(command, path)


def run(*arguments):
    """A command of the engine, its exit code beside what it prints; tracebacks come through."""
    result = CliRunner().invoke(main, list(map(str, arguments)), standalone_mode=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in (0, 1):
        raise click.ClickException(f"exit code {result.exit_code}: {result.output}")
    return result.output


def outcomes(path):
    """Of every way that is refused: its name, and type and message of the error.

    Raises whatever isn't an error of the engine.
    """
    found = []
    for name, way in ways(path):
        try:
            way()
        except EngineError as error:
            found.append((name, type(error).__name__, str(error)))
    return found
