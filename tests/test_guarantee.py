"""What can be promised: values that say it without contradiction, and survive JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InvalidInput
from engine.guarantee import NO_GUARANTEE, Guarantee

positive = st.floats(1e-100, 1e100)
NUMBERS = {
    "none": st.just({}),
    "lossless": st.just({}),
    "max-error": st.fixed_dictionaries({"max_error": st.just(0) | positive}),
    "min-psnr": st.fixed_dictionaries({"min_psnr": st.floats(0, 200), "peak": positive}),
}


@st.composite
def guarantees(draw):
    kind = draw(st.sampled_from(list(NUMBERS)))
    return Guarantee(
        kind,
        nonfinite=draw(st.sampled_from(["error", "keep"])),
        fill_values=tuple(draw(st.lists(positive | st.integers(-(2**63), 2**64 - 1)))),
        **draw(NUMBERS[kind]),
    )


@given(guarantees())
def test_survives_json_exactly(guarantee):
    assert Guarantee.from_json(json.loads(json.dumps(guarantee.to_json()))) == guarantee


@given(guarantees())
def test_says_in_one_line_what_it_promises(guarantee):
    text = str(guarantee)
    assert text.startswith(guarantee.kind)
    assert "\n" not in text
    for number in (guarantee.max_error, guarantee.min_psnr, *guarantee.fill_values):
        assert number is None or str(number) in text
    assert ("NaN" in text) == (guarantee.nonfinite == "keep")


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "best-effort"},
        {"nonfinite": "ignore"},
        {"kind": "max-error"},
        {"kind": "lossless", "max_error": 1.0},
        {"kind": "none", "peak": 1.0},
        {"kind": "min-psnr", "min_psnr": 40.0},
        {"kind": "min-psnr", "peak": 40.0},
        {"kind": "max-error", "max_error": -1.0},
        {"kind": "max-error", "max_error": math.inf},
        {"kind": "max-error", "max_error": math.nan},
        {"kind": "max-error", "max_error": True},
        {"kind": "max-error", "max_error": "1"},
        {"kind": "min-psnr", "min_psnr": -1.0, "peak": 1.0},
        {"kind": "min-psnr", "min_psnr": 40.0, "peak": 1e200},  # its square is infinite
        {"kind": "min-psnr", "min_psnr": 40.0, "peak": 1e-200},  # its square is 0
        {"kind": "min-psnr", "min_psnr": 1e5, "peak": 1.0},
        {"fill_values": (math.nan,)},
        {"fill_values": (True,)},
        {"fill_values": ("0",)},
    ],
)
def test_what_contradicts_itself_is_refused(members):
    with pytest.raises(InvalidInput):
        Guarantee.from_json(members)


@pytest.mark.parametrize("document", [{"kind": "none", "extra": 1}, [], "none", None])
def test_what_is_no_guarantee_is_refused(document):
    with pytest.raises((TypeError, AttributeError)):
        Guarantee.from_json(document)


def test_only_the_plain_one_keeps_nothing():
    assert NO_GUARANTEE.is_plain
    for other in (
        Guarantee(nonfinite="keep"),
        Guarantee(fill_values=(0,)),
        Guarantee("lossless"),
        Guarantee("max-error", max_error=0),
    ):
        assert not other.is_plain


def test_only_a_promise_of_values_leans_on_the_decoder():
    assert Guarantee("lossless").needs_certificate
    assert not Guarantee("none", nonfinite="keep", fill_values=(1,)).needs_certificate


def test_bounds():
    assert Guarantee("lossless").element_bound == 0
    assert Guarantee("max-error", max_error=0.25).element_bound == 0.25
    psnr = Guarantee("min-psnr", min_psnr=40, peak=255.0)
    assert psnr.element_bound == NO_GUARANTEE.element_bound == math.inf
    assert NO_GUARANTEE.mean_squared_error_bound == math.inf
    bound = psnr.mean_squared_error_bound
    assert 40 < 10 * math.log10(255**2 / bound) < 40 + 1e-7


def test_of_data_without_a_range_no_error_has_a_psnr():
    constant = Guarantee("min-psnr", min_psnr=40, peak=0.0)
    assert constant.mean_squared_error_bound == constant.element_bound == 0
