"""Makes the corpus of attacks: `python -m tests.attacks.make_attacks [FOLDER]`.

`good.codec` is a codec that is read; a file below `codec` takes the place of one of its files, as
`attacks.json` says, and must be refused with the error and the words that stand there. A file below
`store` has the objects that differ from those of `good.zarr`, a store that is read; all digests are
right. `python -m tests.attacks.make_good_store` makes that store, and is needed for no attack.
"""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
from onnx import helper

from engine.codec.files import DECODER, ENCODER, CodecFiles, file_entry
from engine.codec.graph import build_encoder
from engine.codec.manifest import LatentFormat, Manifest
from engine.codec.sample_format import SampleFormat
from tests.attacks.forged_store import ForgedStore
from tests.attacks.graphs import GRAPHS
from tests.attacks.manifests import MANIFESTS
from tests.attacks.models import LATENTS, SAMPLE, F, decoder, node, sizes, value, weight
from tests.attacks.stores import STORES

HERE = Path(__file__).parent
GOOD, TABLE, CODEC_ATTACKS = "good.codec", "attacks.json", "codec"
GOOD_STORE, STORE_ATTACKS = "good.zarr", "store"


def main(folder: Path) -> None:
    """Write the good codec, the attacks and their table, replacing what is there."""
    for name in (GOOD, CODEC_ATTACKS, STORE_ATTACKS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (CODEC_ATTACKS, STORE_ATTACKS):
        (folder / name).mkdir(parents=True)
    good = good_codec()
    good.save(folder / GOOD)
    rows = []
    for file, content, replaces, error, message in attacks(good):
        (folder / CODEC_ATTACKS / file).write_bytes(content)
        row = {"file": f"{CODEC_ATTACKS}/{file}", "replaces": replaces}
        rows.append(row | {"error": error, "message": message})
    for name, (change, error, message) in STORES.items():
        row = {"file": f"{STORE_ATTACKS}/{name}.zip", "replaces": "its objects"}
        write_objects(folder / row["file"], forged(change))
        rows.append(row | {"error": error, "message": message})
    (folder / TABLE).write_text(json.dumps(rows, indent=1) + "\n")


def forged(change):
    """The objects that an attack replaces in the good store."""
    store = ForgedStore(HERE / GOOD_STORE)
    change(store)
    return store.changed


def write_objects(path, objects):
    """Write objects as a ZIP file, the same every time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in sorted(objects.items()):
            archive.writestr(zipfile.ZipInfo(key), content, zipfile.ZIP_DEFLATED)


def read_objects(path):
    """The objects in such a file, by name."""
    with zipfile.ZipFile(path) as archive:
        return {key: archive.read(key) for key in archive.namelist()}


def attacks(good):
    """File, content, what it replaces, error and message of every attack."""
    for name, (make, message) in GRAPHS.items():
        content = make().SerializeToString(deterministic=True)
        yield f"{name}.onnx", content, "decoder.onnx", "CorruptCodec", message
    for name, (change, error, message) in MANIFESTS.items():
        content = change(json.loads(good.manifest_json))
        yield f"{name}.json", content, "manifest.json", error, message
    yield "no_model.onnx", b"\x08", "decoder.onnx", "CorruptCodec", "not an ONNX model"
    whole = good.role(DECODER)
    yield "cut_short.onnx", whole[:-9], "decoder.onnx", "CorruptCodec", "not an ONNX model"


def good_codec() -> CodecFiles:
    """A codec of uint8 samples (4, 6) and int8 latents (8,)."""
    shape = SampleFormat(SAMPLE, np.dtype(np.uint8), SAMPLE, (0.0, 255.0))
    latent = LatentFormat((LATENTS,), 8, (0.25,) * LATENTS, (0.0,) * LATENTS)
    flat = SAMPLE[0] * SAMPLE[1]
    graph = helper.make_graph(
        [node("Reshape", ["a", "flat"], ["b"]), node("MatMul", ["b", "basis"], ["c"])],
        "encoder",
        [value("a", F, ["batch", *SAMPLE])],
        [value("c", F, ["batch", LATENTS])],
        initializer=[sizes("flat", -1, flat), weight("basis", np.eye(flat, LATENTS))],
    )
    opsets = [helper.make_opsetid("", 20)]
    network = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    contents = {
        "encoder.onnx": build_encoder(network, shape, latent),
        "decoder.onnx": decoder().SerializeToString(deterministic=True),
    }
    roles = zip(contents, (ENCODER, DECODER), strict=True)
    entries = tuple(file_entry(name, role, contents[name]) for name, role in roles)
    return CodecFiles(Manifest(shape, latent, entries), contents)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
