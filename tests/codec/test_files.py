import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from engine import CorruptCodec, IncompatibleStore, InvalidInput, StorageError
from engine.codec.files import (
    DECODER,
    ENCODER,
    MANIFEST,
    CodecFiles,
    check_codec_target,
    file_entry,
)


@pytest.fixture(scope="module")
def files(digits_codec):
    return digits_codec.files


@pytest.fixture
def folder(files, tmp_path):
    files.save(tmp_path / "digits.codec")
    return tmp_path / "digits.codec"


def alone(folder):
    """Whether nothing lies beside the codec."""
    return [path.name for path in folder.parent.iterdir()] == [folder.name]


def with_training(files, **record):
    manifest = dataclasses.replace(files.manifest, training=record)
    return CodecFiles(manifest, files.contents)


def test_round_trip(files, folder):
    loaded = CodecFiles.load(folder)
    assert loaded == files
    assert loaded.digest == files.digest
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files.contents, MANIFEST])
    assert alone(folder)


def test_parent_folders_are_made(files, tmp_path):
    files.save(tmp_path / "a" / "b" / "digits.codec")
    assert CodecFiles.load(tmp_path / "a" / "b" / "digits.codec") == files


def test_the_digest_is_that_of_everything(files):
    assert with_training(files, epochs=2).digest != with_training(files, epochs=3).digest


def test_a_codec_is_only_replaced_when_asked(files, folder):
    other = with_training(files, epochs=3)
    with pytest.raises(InvalidInput, match="a codec is there already; pass --overwrite"):
        other.save(folder)
    assert CodecFiles.load(folder) == files
    other.save(folder, overwrite=True)
    assert CodecFiles.load(folder) == other
    assert alone(folder)


def test_replacing_keeps_no_file_of_the_old_codec(files, folder):
    extra = b"picture"
    entries = (*files.manifest.files, file_entry("curve.png", "learning-curve", extra))
    manifest = dataclasses.replace(files.manifest, files=entries)
    CodecFiles(manifest, {**files.contents, "curve.png": extra}).save(folder, overwrite=True)
    assert (folder / "curve.png").read_bytes() == extra
    files.save(folder, overwrite=True)
    assert not (folder / "curve.png").exists()


def test_a_damaged_codec_can_be_replaced(files, folder):
    (folder / "encoder.onnx").unlink()
    files.save(folder, overwrite=True)
    assert CodecFiles.load(folder) == files


def test_the_codec_of_a_later_version_can_be_replaced(files, folder):
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(IncompatibleStore, match=f"^{folder}: the codec has format version 2"):
        CodecFiles.load(folder)
    check_codec_target(folder, overwrite=True)


@pytest.mark.parametrize("content", [None, b"", b'{"manifest_version": 3, "name": "an add-on"}'])
def test_what_is_no_codec_is_never_replaced(files, tmp_path, content):
    (tmp_path / "notes.txt").write_text("mine")
    if content is not None:
        (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(InvalidInput, match="exists and is not a codec; choose another path"):
        files.save(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "folder that has a folder for a manifest"])
def test_other_things_are_never_replaced(files, tmp_path, kind):
    target = tmp_path / "x"
    if kind == "file":
        target.write_text("mine")
    else:
        (target / MANIFEST).mkdir(parents=True)
    with pytest.raises(InvalidInput, match="not a codec"):
        files.save(target, overwrite=True)
    assert target.exists()


@pytest.mark.parametrize("name", [MANIFEST, "encoder.onnx", "decoder.onnx"])
@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped byte", "missing"])
def test_every_damaged_file_is_noticed_and_named(folder, name, damage):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 128
    shorter = {"truncated": len(content) - 1, "emptied": 0}.get(damage, len(content))
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:shorter] if shorter < len(content) else content)
    if damage == "truncated" and name == MANIFEST:
        assert CodecFiles.load(folder).digest  # it ends in a line break, which means nothing
        return
    with pytest.raises(CorruptCodec, match=f"^{folder}: .*{name}") as raised:
        CodecFiles.load(folder)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/passwd", "..", "sub/encoder.onnx"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(folder, name):
    shutil.copy(folder / "encoder.onnx", folder.parent / "outside.onnx")
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"encoder.onnx"', f'"{name}"'))
    with pytest.raises(CorruptCodec, match="is not one of a file in the codec's folder"):
        CodecFiles.load(folder)


def test_loading_what_is_no_codec(tmp_path):
    with pytest.raises(InvalidInput, match="no such codec"):
        CodecFiles.load(tmp_path / "nothing")
    with pytest.raises(CorruptCodec, match=r"not a codec \(no manifest\.json in it\)"):
        CodecFiles.load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CorruptCodec, match="not a codec"):
        CodecFiles.load(tmp_path / "file")


def test_a_copy_without_the_encoder_says_so(files):
    manifest = files.manifest.to_json()
    stored = CodecFiles.from_contents(manifest, {"decoder.onnx": files.role(DECODER)})
    assert stored.digest == files.digest
    assert stored.role(DECODER) == files.role(DECODER)
    with pytest.raises(CorruptCodec, match=r"stored without its encoder \(encoder\.onnx\)"):
        stored.role(ENCODER)


def test_a_manifest_that_says_more_keeps_its_digest(files, tmp_path):
    document = json.loads(files.manifest_json) | {"added_later": [1, 2]}
    text = json.dumps(document).encode()
    read = CodecFiles.from_contents(text, files.contents)
    assert read.digest == hashlib.sha256(text).hexdigest()
    read.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "manifest.json").read_bytes() == text
    assert CodecFiles.load(tmp_path / "copy").digest == read.digest


def test_a_name_that_no_file_system_takes_is_one_line(files, tmp_path):
    for call in (CodecFiles.load, files.save, lambda p: check_codec_target(p, overwrite=False)):
        with pytest.raises(StorageError, match="name too long"):
            call(tmp_path / ("x" * 300))


def test_a_file_in_the_place_of_the_parent_is_one_line(files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"digits\.codec: can't write it: .+"):
        files.save(tmp_path / "file" / "digits.codec")


def test_a_disk_that_takes_no_more_keeps_the_old_codec(files, folder):
    program = (
        "import sys, resource\n"
        "from engine.codec.files import CodecFiles\n"
        "from engine import StorageError\n"
        "files = CodecFiles.load(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    files.save(sys.argv[1], overwrite=True)\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, folder], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{folder}: can't write it: File too large\n"
    assert CodecFiles.load(folder) == files
    assert alone(folder)
