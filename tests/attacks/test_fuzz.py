"""Random damage to codecs is refused with an error of the engine, and what passes can be run."""

import json
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from engine.codec.files import CodecFiles
from engine.codec.graph_safety import check_decoder
from engine.codec.manifest import Manifest
from engine.errors import CorruptCodec, IncompatibleStore
from tests.attacks.make_attacks import CODEC_ATTACKS, GOOD, HERE
from tests.attacks.models import decoder
from tests.attacks.mutations import change, mutated_bytes, mutated_document, mutated_graph

LONG = 20_000
LIMIT_BYTES = 32 << 20
SEEDS = st.integers(0, (1 << 32) - 1)
MODELS = [HERE / GOOD / "decoder.onnx", *sorted((HERE / CODEC_ATTACKS).glob("*.onnx"))]
MANIFESTS = [HERE / GOOD / "manifest.json", *sorted((HERE / CODEC_ATTACKS).glob("*.json"))]


@pytest.fixture(scope="module")
def manifest(good_codec):
    return CodecFiles.load(good_codec).manifest


def passes(content, manifest):
    """Whether a graph passes the check; what doesn't must be refused the right way."""
    try:
        memory = check_decoder(content, manifest, LIMIT_BYTES)
    except CorruptCodec as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000
        return False
    return memory.loaded_bytes + memory.sample_bytes <= LIMIT_BYTES


def read(text):
    try:
        Manifest.from_json(text).to_json()
    except (CorruptCodec, IncompatibleStore) as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000


@given(SEEDS)
def test_changed_graphs(manifest, seed):
    passes(mutated_graph(random.Random(seed)).SerializeToString(), manifest)


@given(SEEDS, st.sampled_from(MODELS))
def test_damaged_graphs(manifest, seed, path):
    passes(mutated_bytes(path.read_bytes(), random.Random(seed)), manifest)


@given(SEEDS)
def test_changed_manifests(manifest, seed):
    read(mutated_document(json.loads(manifest.to_json()), random.Random(seed)))


@given(SEEDS, st.sampled_from(MANIFESTS))
def test_damaged_manifests(seed, path):
    read(mutated_bytes(path.read_bytes(), random.Random(seed)))


@pytest.mark.slow
@settings(max_examples=LONG)
@given(SEEDS)
def test_many_changed_graphs(manifest, seed):
    passes(mutated_graph(random.Random(seed)).SerializeToString(), manifest)


@pytest.mark.slow
@settings(max_examples=LONG)
@given(SEEDS, st.sampled_from(MODELS))
def test_many_damaged_graphs(manifest, seed, path):
    passes(mutated_bytes(path.read_bytes(), random.Random(seed)), manifest)


@pytest.mark.slow
@settings(max_examples=LONG)
@given(SEEDS)
def test_many_changed_manifests(manifest, seed):
    read(mutated_document(json.loads(manifest.to_json()), random.Random(seed)))


@pytest.mark.parametrize("tried", [300, pytest.param(30_000, marks=pytest.mark.slow)])
def test_what_passes_can_be_run_in_the_memory_that_was_allowed(manifest, tmp_path, tried):
    rng, passed = random.Random(0), [decoder()]  # changes pile up in those that passed before
    for _ in range(tried):
        model = ModelProto()
        model.CopyFrom(rng.choice(passed[-99:]))
        change(model.graph, rng)
        if passes(model.SerializeToString(), manifest):
            (tmp_path / f"{len(passed):05}.onnx").write_bytes(model.SerializeToString())
            passed.append(model)
    script = [sys.executable, str(HERE / "run_graphs.py"), str(tmp_path), str(4 * LIMIT_BYTES)]
    run = subprocess.run(script, capture_output=True, text=True, check=False)
    assert run.returncode == 0, (run.stdout[-99:], run.stderr[-999:])
    assert run.stdout.endswith(f"\n{len(passed) - 1} graphs\n")
    assert len(passed) > tried // 20
