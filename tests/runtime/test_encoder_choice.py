"""A cheaper encoder is taken where it is faster here and loses hardly anything on the data."""

import json

import numpy as np
import pytest

from engine.runtime import encoder_choice, machine
from engine.runtime.encoder_choice import (
    LEAST_SPEED_UP,
    MOST_LOSS_DB,
    choose_encoder,
    encoder_speed_ups,
    psnr_loss_db,
)
from engine.runtime.encoder_variants import EncoderChoice, make_variant


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The user's cache folder, which nothing has written to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "latent-engine"


def test_a_choice_keeps_what_it_promises(digits_codec, digits):
    choice = choose_encoder(digits_codec, digits[::5])
    assert choice.name in ("float32", "int8")
    encoding = choice.apply(digits_codec)
    assert encoding.digest == digits_codec.digest
    if choice.name == "int8":
        assert choice.psnr_loss_db < MOST_LOSS_DB
        assert choice.speed_up >= LEAST_SPEED_UP
        assert choice.content == make_variant(digits_codec.files, "int8", digits[::5][::2])
        assert len(choice.identity["sha256"]) == 64
    else:
        assert encoding is digits_codec
        assert choice.identity == {"name": "float32"}


def test_an_encoder_that_loses_too_much_is_not_taken(digits_codec, digits, monkeypatch):
    monkeypatch.setattr(encoder_choice, "LEAST_SPEED_UP", 0.0)
    assert choose_encoder(digits_codec, digits[::5]).name == "int8"
    monkeypatch.setattr(encoder_choice, "MOST_LOSS_DB", -1.0)
    assert choose_encoder(digits_codec, digits[::5]) == EncoderChoice("float32")


def test_the_loss_is_that_of_the_decoded_samples(digits_codec, digits):
    held_out = digits[::20]
    content = make_variant(digits_codec.files, "int8", digits[::10])
    variant = digits_codec.with_encoder("int8", content)
    errors = [
        np.mean((digits_codec.decode(codec.encode(held_out)).astype(float) - held_out) ** 2)
        for codec in (digits_codec, variant)
    ]
    expected = 10 * np.log10(errors[1] / errors[0])
    assert psnr_loss_db(digits_codec, variant, held_out, 1.0) == pytest.approx(expected)
    assert psnr_loss_db(digits_codec, digits_codec, held_out, 1.0) == 0.0


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_samples_choose_float32(digits_codec, digits, count):
    assert choose_encoder(digits_codec, digits[:count]).name == "float32"


def test_speed_is_measured_once(digits_codec, digits, cache):
    first = encoder_speed_ups(digits_codec, budget_s=0.01)
    assert first.keys() == {"int8"}
    (file,) = cache.iterdir()
    assert json.loads(file.read_bytes()) == first
    file.write_text(json.dumps({"int8": 1.05}))
    assert choose_encoder(digits_codec, digits[::5]) == EncoderChoice("float32")
    file.write_text(json.dumps({"int8": 7.5}))
    assert choose_encoder(digits_codec, digits[::5]).speed_up == 7.5
    assert encoder_speed_ups(digits_codec, budget_s=0.01, refresh=True) != {"int8": 7.5}


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b'{"int4": 2.0}', b'{"int8": -1.0}', b'{"int8": NaN}', b'{"int8": "2"}']
)
def test_a_damaged_or_foreign_cache_is_measured_again(digits_codec, damage, cache):
    encoder_speed_ups(digits_codec, budget_s=0.01)
    (file,) = cache.iterdir()
    file.write_bytes(damage)
    again = encoder_speed_ups(digits_codec, budget_s=0.01)
    assert json.loads(file.read_bytes()) == again
    assert again["int8"] > 0


def test_every_machine_measures_for_itself(digits_codec, monkeypatch, cache):
    encoder_speed_ups(digits_codec, budget_s=0.01)
    monkeypatch.setattr(machine, "processor_name", lambda: "another")
    encoder_speed_ups(digits_codec, budget_s=0.01)
    assert len(list(cache.iterdir())) == 2
