"""The 2-bit code itself: values, windows, and what an encoder promises."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.format.code import check_shape, decode, hashed, table, windows
from engine.format.layout import CENTRE, LARGEST_VALUE, SEGMENT, SPREAD, WINDOW_BITS
from engine.quant import viterbi
from engine.quant.encoder import encode

EXAMPLE = json.loads((Path(__file__).parent / "example.json").read_text())


def test_the_example_of_the_format_page_decodes_as_written() -> None:
    """Three neighbouring bytes give two windows and eight weights, as docs/two_bit_format.md shows."""
    oldest, older, newest = EXAMPLE["bytes"]
    pair = np.array([oldest << 8 | older, older << 8 | newest], np.uint32)

    assert pair.tolist() == EXAMPLE["windows"]
    assert hashed(pair).flatten().tolist() == EXAMPLE["values"]
    assert (hashed(pair).flatten().astype(int) - CENTRE).tolist() == EXAMPLE["weights"]


@pytest.mark.parametrize("window_bits", WINDOW_BITS)
def test_values_spread_as_the_layout_says(window_bits: int) -> None:
    """Over all windows the values are centred, within bounds, and as wide as two nibbles together."""
    values = table(window_bits).astype(float)

    assert values.min() >= 0
    assert values.max() <= LARGEST_VALUE
    assert abs(values.mean() - CENTRE) < 0.02
    assert abs(values.std() / SPREAD - 1) < 0.01


@pytest.mark.parametrize("window_bits", WINDOW_BITS)
def test_a_window_reaches_back_over_the_segments_end(window_bits: int) -> None:
    """The first byte's window holds the last bytes of its own segment, and none of another."""
    codes = np.zeros((1, 1, SEGMENT), np.uint8)
    codes[..., -1], codes[..., -2], codes[..., 0] = 0xAB, 0xFF, 0xCD

    expected = (0xCD | 0xAB << 8 | 0xFF << 16) % (1 << window_bits)

    assert windows(codes, window_bits)[0, 0, 0] == expected


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((1.0, 6.5, 30.0)), st.sampled_from((1, 20, 256)))
def test_the_compiled_search_finds_the_references_bytes(seed: int, spread: float, beam: int) -> None:
    """C++ and numpy agree byte for byte, with all states or few, and for targets out of the code's reach."""
    weights = np.random.default_rng(seed).normal(0, spread, (1, SEGMENT, 4)).astype(np.float32)
    targets = viterbi.as_targets(weights)

    assert np.array_equal(encode(targets, 16, beam, threads=1), viterbi.encode(targets, 16, beam))


def test_a_beam_in_a_wider_window_finds_the_references_bytes() -> None:
    """Four sets of states lead to different ones there; each set keeps one."""
    weights = np.random.default_rng(8).normal(0, SPREAD, (1, SEGMENT, 4)).astype(np.float32)
    targets = viterbi.as_targets(weights)

    assert np.array_equal(encode(targets, 18, 3, threads=1), viterbi.encode(targets, 18, 3))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2), st.integers(1, 3))
def test_what_was_decoded_encodes_to_itself(seed: int, tiles: int, quads: int) -> None:
    """Values that a path can reach are found again without loss."""
    codes = np.random.default_rng(seed).integers(0, 256, (tiles, quads, SEGMENT), dtype=np.uint8)
    values = hashed(windows(codes, 16)).astype(np.float32) - CENTRE

    again = encode(viterbi.as_targets(values.reshape(-1, SEGMENT, 4)), 16, threads=1)

    assert np.array_equal(decode(again.reshape(codes.shape), 16), decode(codes, 16))


def test_a_beam_of_all_states_is_the_full_search() -> None:
    """A narrower beam may only cost; the widest loses nothing."""
    weights = np.random.default_rng(3).normal(0, SPREAD, (2, SEGMENT, 4)).astype(np.float32)
    targets = viterbi.as_targets(weights)

    def error(beam: int | None) -> float:
        values = hashed(windows(encode(targets, 16, beam, threads=1), 16)).astype(np.float32) - CENTRE
        return float(((values - weights) ** 2).sum())

    assert error(256) == error(None)
    assert error(16) > error(None)


@pytest.mark.parametrize(("channels", "rows"), [(100, 128), (128, 130), (64, 4)])
def test_a_shape_outside_the_code_is_refused(channels: int, rows: int) -> None:
    """The message names the shape and the two divisors."""
    with pytest.raises(ValueError, match=f"{channels} x {rows}"):
        check_shape(channels, rows)
