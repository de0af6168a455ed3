"""Four bits with a scale for each 64 rows."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant.groups import decode_groups, encode_groups, group_shapes


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 300), st.integers(1, 4), st.integers(0, 2**31))
def test_every_weight_is_within_half_a_step(channels: int, blocks: int, seed: int) -> None:
    """Whatever the number of channels: half a step, or a whole one at the end that has no code."""
    weight = torch.randn(channels, 128 * blocks, generator=torch.Generator().manual_seed(seed))

    codes, scales = encode_groups(weight)
    back = decode_groups(codes, scales, channels)

    assert (tuple(codes.shape), tuple(scales.shape)) == group_shapes(channels, 128 * blocks)
    steps = weight.unflatten(1, (-1, 64)).abs().amax(-1, keepdim=True) / 8
    assert ((back - weight).unflatten(1, (-1, 64)).abs() <= steps * 1.01).all()
    assert ((back - weight).square().mean() / weight.square().mean()) < 0.015


def test_what_was_decoded_encodes_to_itself() -> None:
    """Codes lose nothing a second time; a group of zeros is no division by zero."""
    weight = torch.randn(130, 256, generator=torch.Generator().manual_seed(3))
    weight[:, 64:128] = 0
    once = decode_groups(*encode_groups(weight), 130)

    assert torch.equal(decode_groups(*encode_groups(once), 130), once)
    assert torch.equal(once[:, 64:128], weight[:, 64:128])
