"""Sentences of people, from the docstrings of the standard library and of scientific packages."""

from __future__ import annotations

import ast
import importlib.util
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("scipy", "sklearn")
_SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()/\"-]+[.!?]")
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_LETTERS, _LEAST_WORDS = range(40, 301), 7


def docstring_sentences() -> list[str]:
    """Distinct sentences of at least seven words, in a fixed order for fixed versions."""
    folders = [Path(sysconfig.get_paths()["stdlib"])]
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            folders.append(Path(found.origin).parent)
    files = (file for folder in folders for file in _modules(folder))
    return list(dict.fromkeys(text for file in files for text in _sentences(file)))


def _modules(folder: Path) -> list[Path]:
    """Modules below a folder, without tests and what else is installed there."""
    found = (path for path in folder.rglob("*.py"))
    left_out = ("site-packages", "test", "tests", "idlelib", "lib2to3")
    return sorted(p for p in found if not set(left_out) & set(p.relative_to(folder).parts))


def _sentences(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _in_prose(ast.get_docstring(node) or "")


def _in_prose(docstring: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", docstring):
        for text in _END.split(" ".join(paragraph.split())):
            is_whole = len(text) in _LETTERS and _SENTENCE.fullmatch(text) and "--" not in text
            if is_whole and len(text.split()) >= _LEAST_WORDS:
                yield text
