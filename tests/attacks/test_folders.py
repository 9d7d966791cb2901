"""Codec folders whose files are links, pipes or devices, or larger than they say."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import Codec, CorruptCodec
from engine.codec.files import ENCODER, CodecFiles, check_codec_target

NAMES = ["manifest.json", "decoder.onnx"]


@pytest.fixture
def folder(good_codec, tmp_path):
    return Path(shutil.copytree(good_codec, tmp_path / "a.codec"))


def refused(folder, message):
    with pytest.raises(CorruptCodec, match=message) as raised:
        CodecFiles.load(folder)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_that_leads_out_is_not_followed(folder, name, relative):
    outside = folder.parent / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(f"../{outside.name}" if relative else outside)
    refused(folder, f"{name} is a link to a file outside of the codec")


@pytest.mark.parametrize("name", NAMES)
def test_a_link_by_way_of_a_linked_folder_is_not_followed(folder, name):
    (folder.parent / "outside").mkdir()
    (folder / name).rename(folder.parent / "outside" / name)
    (folder / "inner").symlink_to(folder.parent / "outside")
    (folder / name).symlink_to(f"inner/{name}")
    refused(folder, f"{name} is a link to a file outside of the codec")


@pytest.mark.parametrize("name", NAMES)
def test_links_within_the_folder_are_fine(folder, good_codec, name):
    (folder / name).rename(folder / "the-file")
    (folder / name).symlink_to("the-file")
    assert CodecFiles.load(folder) == CodecFiles.load(good_codec)


def test_a_linked_folder_is_fine(folder, good_codec):
    (folder.parent / "link").symlink_to(folder)
    assert CodecFiles.load(folder.parent / "link") == CodecFiles.load(good_codec)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_to_itself_is_refused(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    refused(folder, name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_read(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    refused(folder, f"{name} is not a file")


def test_devices_are_not_read(folder):
    (folder / "decoder.onnx").unlink()
    (folder / "decoder.onnx").symlink_to("/dev/zero")
    refused(folder, r"decoder\.onnx is a link to a file outside")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_larger_than_it_may_be_is_not_read(folder, name):
    os.truncate(folder / name, 1 << 43)  # more than memory holds
    refused(folder, f"{name} is damaged: expected at most")


def test_a_pipe_for_a_manifest_is_never_replaced(folder):
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(Exception, match="exists and is not a codec"):
        check_codec_target(folder, overwrite=True)


def test_the_caller_raises_the_limit(good_codec):
    with pytest.raises(CorruptCodec, match=r"at most 100 are allowed.*max_memory_bytes= or --max"):
        CodecFiles.load(good_codec, max_memory_bytes=100)
    needed = CodecFiles.load(good_codec).memory(ENCODER)
    limit = needed.loaded_bytes + needed.sample_bytes
    files = CodecFiles.load(good_codec, max_memory_bytes=limit - 1)
    with pytest.raises(CorruptCodec, match=r"^encoder\.onnx: the graph.* are allowed"):
        Codec(files, "cpu").encode(np.zeros((1, 4, 6), np.uint8))
    files = CodecFiles.load(good_codec, max_memory_bytes=limit)
    assert Codec(files, "cpu").encode(np.zeros((1, 4, 6), np.uint8)).shape == (1, 8)
