"""The head: what it says survives, and whatever is wrong with it is found."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CorruptStore, EngineError, IncompatibleStore
from engine.store.head import ATTRIBUTE, WRITING, Head, Part, _digest

PART = Part("data/part-0", 100, 8, 32, ("latents", "quality"))
HEAD = Head(
    store_id="0123456789abcdef" * 2,
    state=WRITING,
    generation=0,
    codec="c" * 64,
    variables={"data": (PART,)},
    fingerprint={"step": 1.0, "data": {"shape": [100, 3]}},
    objects={"data/zarr.json": (12, "a" * 64)},
)
CONTENT = HEAD.to_metadata()


def signed(**changes):
    """The head's document with changed members and a digest that fits them."""
    document = json.loads(CONTENT)["attributes"][ATTRIBUTE] | changes
    del document["sha256"]
    document["sha256"] = _digest(document)
    return json.dumps({"attributes": {ATTRIBUTE: document}}).encode()


def test_round_trip():
    assert Head.from_metadata(CONTENT) == HEAD


def test_sealing_makes_the_next_generation():
    sealed = HEAD.sealed({"x": (1, "b" * 64)})
    assert (sealed.state, sealed.generation, sealed.objects) == ("sealed", 1, {"x": (1, "b" * 64)})
    assert Head.from_metadata(sealed.to_metadata()) == sealed


def test_it_is_a_zarr_group():
    document = json.loads(CONTENT)
    assert (document["zarr_format"], document["node_type"]) == (3, "group")


def test_unknown_members_and_optional_features_are_ignored():
    assert Head.from_metadata(signed(colour="green")) == HEAD
    assert Head.from_metadata(signed(optional=["thumbnails"])).optional == ("thumbnails",)
    part = {**json.loads(CONTENT)["attributes"][ATTRIBUTE]["variables"]["data"][0], "new": 1}
    assert Head.from_metadata(signed(variables={"data": [part]})) == HEAD


def test_unknown_required_features_are_refused():
    with pytest.raises(IncompatibleStore, match=r"requires \['residuals'\].*update the engine"):
        Head.from_metadata(signed(required=["residuals"]))


@pytest.mark.parametrize("variables", [{"data": 2}, {"data": 1, "wind": 1}])
def test_more_than_one_part_or_variable_is_refused(variables):
    part = json.loads(CONTENT)["attributes"][ATTRIBUTE]["variables"]["data"]
    held = {name: part * count for name, count in variables.items()}
    with pytest.raises(IncompatibleStore, match="several parts"):
        Head.from_metadata(signed(variables=held))


def test_a_later_format_is_refused():
    with pytest.raises(IncompatibleStore, match="has format 2"):
        Head.from_metadata(signed(format=2))


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b"{}", b"\xff", b'{"attributes": null}', b'{"attributes": {}}', b"[" * 9999],
)
def test_what_is_no_head(content):
    with pytest.raises(CorruptStore, match="not a latent store"):
        Head.from_metadata(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "open"},
        {"store_id": "xyz"},
        {"store_id": 7},
        {"store_id": "00"},
        {"codec": None},
        {"variables": {}},
        {"variables": {"data": []}},
        {"variables": {"data": [{}]}},
        {"variables": {"data": 3}},
        {"variables": []},
        {"variables": {"data": [{**vars(PART), "samples": 0}]}},
        {"variables": {"data": [{**vars(PART), "samples": 1.5}]}},
        {"variables": {"data": [{**vars(PART), "arrays": 3}]}},
        {"variables": {"data": [{**vars(PART), "path": 3}]}},
        {"fingerprint": []},
        {"objects": 3},
        {"objects": {"a": 3}},
        {"objects": {"a": ["x", "y"]}},
        {"required": 3},
        {"optional": 3},
    ],
    ids=str,
)
def test_signed_nonsense_is_damage(changes):
    with pytest.raises(CorruptStore, match=r"zarr\.json: the head is damaged"):
        Head.from_metadata(signed(**changes))


@given(position=st.integers(0, len(CONTENT) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_found_or_harmless(position, byte):
    damaged = CONTENT[:position] + bytes([byte]) + CONTENT[position + 1 :]
    try:
        found = Head.from_metadata(damaged)
    except EngineError:
        return
    assert found == HEAD


@given(size=st.integers(0, len(CONTENT) - 2))
def test_a_truncated_head_is_damage(size):
    with pytest.raises(CorruptStore):
        Head.from_metadata(CONTENT[:size])


@given(
    member=st.sampled_from(sorted(json.loads(CONTENT)["attributes"][ATTRIBUTE])),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_nothing_but_engine_errors_comes_of_any_member(member, value):
    document = json.loads(CONTENT)["attributes"][ATTRIBUTE] | {member: value}
    try:
        content = signed(**{member: value})
    except ValueError:  # NaN has no digest; it arrives unsigned
        content = json.dumps({"attributes": {ATTRIBUTE: document}}).encode()
    try:
        Head.from_metadata(content)
    except EngineError as error:
        assert "\n" not in str(error)
