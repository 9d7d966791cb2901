"""The tables of `docs/format.md`, read from the page, so that what they say can be tested."""

import dataclasses
import re
from pathlib import Path

import numpy as np

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "format.md").read_text()


def section(number):
    """The text below the heading with this number, as far as the next heading."""
    (text,) = re.findall(
        rf"^#+ {re.escape(number)}\.? .*?\n(.*?)(?=^## |^### |\Z)", PAGE, re.M | re.S
    )
    return text


def tables(number):
    """The tables of a section: each a list of rows of cells; code cells lose their backquotes."""
    found = re.findall(r"(?:^\|.*\|\n)+", section(number), re.M)
    return [
        [[_plain(cell) for cell in line.strip("|\n").split("|")] for line in lines[2:]]
        for lines in (table.splitlines() for table in found)
    ]


def _plain(cell):
    code = re.fullmatch(r"`([^`]*)`", cell.strip())
    return code[1] if code else cell.strip()


def code_words(cell):
    """The words of a cell that are code."""
    return re.findall(r"`([^`]+)`", cell) or [cell]


def members(table):
    return {row[0] for row in table}


def fields(dataclass):
    return {field.name for field in dataclasses.fields(dataclass)}


def tree_objects():
    """The objects of the tree in 3.1, full names with placeholders."""
    (tree,) = re.findall(r"```\n(.*?)```", section("3.1"), re.S)
    folders = []
    for line in tree.splitlines():
        name = re.split(r"  +", line.strip())[0]
        depth = (len(line) - len(line.lstrip())) // 2
        if name.endswith("/"):
            folders[depth:] = [name]
        elif name == "zarr.json" or name.startswith("c/"):
            yield "".join(folders[:depth]) + name


def matches(pattern, key):
    """Whether an object has a name of the tree."""
    escaped = re.sub(r"<[^>]+>", "[^/]+", re.escape(pattern))
    optional = escaped.replace(re.escape("[/0...]"), "(/0)*")
    return re.fullmatch(optional.replace(re.escape("/0..."), "(/0)+"), key)


def record_layout(chunks_per_shard, *, lossless=False):
    """The dtype that section 3.7 gives for arrays with these numbers of chunks per full shard."""
    fixed, entry, _ = tables("3.7")
    titles, types, offsets = [], [], []

    def add(start, rows, suffix, chunks):
        for offset, size, kind, name, _ in rows:
            size_bytes = int(size.replace("4n", str(4 * chunks)))
            count = size_bytes // int(kind[1:])
            titles.append(name + suffix)
            scalar = (kind == "u1" and count == 1) or (kind in ("u4", "u8", "f8") and size != "4n")
            types.append(f"<{kind}" if scalar else (f"<{kind}", (count,)))
            offsets.append(start + int(offset))
        return offsets[-1] + size_bytes

    end = add(0, fixed, "", 1)
    for position, chunks in enumerate(chunks_per_shard):
        end = add(end, entry, f"_{position}", chunks)
    if lossless:
        checksums = ["0", "4n", "u4", "samples_crc32c", ""]
        end = add(end, [checksums], "", chunks_per_shard[0])
    return np.dtype(
        {
            "names": [*titles, "crc32c"],
            "formats": [*types, "<u4"],
            "offsets": [*offsets, end],
            "itemsize": end + 4,
        }
    )
