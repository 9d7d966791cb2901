"""Reads a store in every way that there is."""

import click
import numpy as np
from click.testing import CliRunner

import engine
from engine.cli import main
from engine.errors import EngineError
from engine.store.contents import StoreContents


def ways(path):
    """Functions that read a store, each of which opens it anew."""
    yield lambda: engine.open(path, "cpu").close()
    yield lambda: engine.open(path, "cpu")[:]
    yield lambda: engine.open(path, "cpu", certify=False)[3]
    yield lambda: engine.open(path, "cpu", certify=False).read_latents()
    yield lambda: engine.open(path, "cpu", certify=False).latents[:]
    yield lambda: engine.open(path, "cpu", certify=False).quality
    yield lambda: dict(engine.open(path, "cpu", certify=False).sidecars)
    yield lambda: engine.open(path, "cpu", certify=False).committed
    yield lambda: engine.open(path, "cpu", certify=False).summary
    yield lambda: StoreContents(path, incomplete=True).ledger
    yield lambda: np.asarray(engine.open(path, "cpu", certify=False))
    yield lambda: engine.verify(path, device="cpu")
    for command in ("info", "verify"):
        yield lambda command=command: run(command, path)


def run(*arguments):
    """A command of the engine, its exit code beside what it prints; tracebacks come through."""
    result = CliRunner().invoke(main, list(map(str, arguments)), standalone_mode=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in (0, 1):
        raise click.ClickException(f"exit code {result.exit_code}: {result.output}")
    return result.output


def outcomes(path):
    """Types and messages of the errors that ways to read a store give.

    Raises whatever isn't an error of the engine.
    """
    found = []
    for way in ways(path):
        try:
            way()
        except EngineError as error:
            found.append((type(error).__name__, str(error)))
    return found
