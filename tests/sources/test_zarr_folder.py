import numpy as np
import pytest
import zarr

from engine.errors import InvalidInput
from engine.sources import open_source

ARRAY = np.arange(40, dtype=np.int32).reshape(10, 4)


def group_with(folder, **attributes):
    group = zarr.create_group(folder / "g.zarr", attributes=attributes)
    group.create_array("data/images", data=ARRAY)
    group.create_array("labels", data=ARRAY[:, 0])
    return folder / "g.zarr"


def test_a_group_lists_its_arrays(tmp_path):
    with pytest.raises(InvalidInput, match=r"holds 2 arrays; .*found data/images, labels"):
        open_source(group_with(tmp_path))


def test_pick_by_key_or_by_path(tmp_path):
    path = group_with(tmp_path)
    for source in (open_source(path, "data/images"), open_source(f"{path}::data/images")):
        assert source.name == "g.zarr::data/images"
        np.testing.assert_array_equal(source.read(3, 7), ARRAY[3:7])


def test_the_folder_of_an_array_in_a_group(tmp_path):
    source = open_source(group_with(tmp_path) / "data" / "images")
    np.testing.assert_array_equal(source.read(3, 7), ARRAY[3:7])


def test_an_array_has_no_name(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=ARRAY)
    with pytest.raises(InvalidInput, match="holds one array without a name"):
        open_source(f"{tmp_path / 'x.zarr'}::x")


def test_a_group_without_arrays(tmp_path):
    zarr.create_group(tmp_path / "g.zarr", zarr_format=2)
    with pytest.raises(InvalidInput, match="expected an array in it, found none"):
        open_source(tmp_path / "g.zarr")


def test_a_latent_store_is_for_engine_open(tmp_path):
    with pytest.raises(InvalidInput, match=r"latent store; .*engine\.open"):
        open_source(group_with(tmp_path, latent_store={"format": 1}))


def test_string_labels(tmp_path):
    with pytest.warns(Warning, match="does not have a Zarr V3 specification"):
        zarr.create_array(tmp_path / "x.zarr", data=np.array(["cat", "dog"]))
    source = open_source(tmp_path / "x.zarr", dtypes="any")
    assert source.read(0, 2).tolist() == ["cat", "dog"]


def test_damaged_metadata(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=ARRAY)
    (tmp_path / "x.zarr" / "zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(InvalidInput, match=r"x\.zarr: damaged Zarr metadata"):
        open_source(tmp_path / "x.zarr")


def test_damaged_chunk(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=ARRAY, chunks=(5, 4))
    source = open_source(tmp_path / "x.zarr")
    (tmp_path / "x.zarr" / "c" / "1" / "0").write_bytes(b"nothing")
    np.testing.assert_array_equal(source.read(0, 5), ARRAY[:5])
    with pytest.raises(InvalidInput, match=r"x\.zarr: rows 4:6 can't be read"):
        source.read(4, 6)
