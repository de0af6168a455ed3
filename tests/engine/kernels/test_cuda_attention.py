"""Attention on a fake GPU: the processor's answers, by calls that fused kernels take.

Which kernel a real one takes is torch's choice: flash attention has no masks, and what has masks no groups of
heads (aten/src/ATen/native/transformers/cuda/sdp_utils.cpp).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.attention.bias import CausalBias
from torch.nn.functional import scaled_dot_product_attention

from engine.model import attention, load
from engine.model.cache import ROW_NUMBERS, KVPool
from engine.serving import forward
from engine.serving.forward import Chunk
from tests.engine.kernels.cuda_shim.fake_gpu import HOST, FakeGpu, fake_gpu
from tests.engine.kernels.cuda_shim.harness import Shim
from tests.engine.tiny import SPECIAL_TOKENS, Shape

GPU = torch.device("cuda:0")
TREE = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=torch.bool)
"""Two answers that begin with the same token."""

FIRST, SECOND, LENGTH = 21, 34, 47
"""Where a prompt is cut, and its end: none a whole number of aligned rows."""


class Call(NamedTuple):
    """What torch was asked for."""

    q: Tensor
    k: Tensor
    v: Tensor
    attn_mask: Tensor | None
    is_causal: bool = False
    enable_gqa: bool = False


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Those of the decoder's layers."""
    made: list[Call] = []
    attend = scaled_dot_product_attention

    def recorded(q: Tensor, k: Tensor, v: Tensor, **how: object) -> Tensor:
        made.append(Call(q, k, v, **how))  # type: ignore[arg-type]
        return attend(q, k, v, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "scaled_dot_product_attention", recorded)
    return made


@pytest.fixture
def gpu(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    """For the time of a test."""
    with fake_gpu(shim, monkeypatch) as made:
        yield made


def said(checkpoint: Path, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Logits of a prompt in three chunks, the last with a tree, and of a whole one; then of next tokens."""
    network = load(checkpoint, dtype, device)
    pool = KVPool(network.config.text, 9, dtype, device)
    draw = torch.Generator().manual_seed(7)
    words = torch.randint(len(SPECIAL_TOKENS), 400, (LENGTH,), generator=draw)
    tables = [1, 2, 3, 4], [5, 6, 7, 8]

    def chunk(start: int, end: int, table: list[int], tree: Tensor | None = None) -> Chunk:
        positions = torch.arange(start, end).expand(3, -1)
        return Chunk(words[start:end], positions, start, table, tree=tree, wanted=3)

    found = forward.prefill(network, pool, [chunk(0, FIRST, tables[0]), chunk(0, FIRST, tables[1], TREE)])
    found += forward.prefill(network, pool, [chunk(FIRST, SECOND, tables[0])])
    found += forward.prefill(network, pool, [chunk(SECOND, LENGTH, tables[0], TREE)])
    lengths = torch.tensor([LENGTH, FIRST], device=device)
    next_words = words[:2].to(device)
    found.append(
        forward.decode(network, pool, next_words, lengths, torch.tensor(tables, device=device), lengths)
    )
    return [each.to(HOST).float() for each in found]


@torch.inference_mode()
def test_a_gpu_attends_to_what_the_processor_does(tiny_checkpoint: Path, gpu: FakeGpu) -> None:
    """Whole prompts, chunks behind others, trees of answers, and next tokens."""
    del gpu
    expected = said(tiny_checkpoint, HOST, torch.float32)

    found = said(tiny_checkpoint, GPU, torch.float32)

    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_masks_come_without_groups_of_heads_and_in_aligned_rows(
    tiny_checkpoint: Path, gpu: FakeGpu, calls: list[Call]
) -> None:
    """Else neither fused kernel takes the call, or it copies the mask first; each kind of call is there."""
    del gpu
    said(tiny_checkpoint, GPU, torch.bfloat16)

    masked = [call for call in calls if call.attn_mask is not None and type(call.attn_mask) is not CausalBias]
    named = [call for call in calls if type(call.attn_mask) is CausalBias]
    assert len(masked) + len(named) == len(calls)
    sharing = Shape().heads // Shape().kv_heads
    assert {call.q.shape[2] for call in masked} == {sharing * t for t in (1, FIRST, LENGTH - SECOND)}
    for call in masked:
        assert call.attn_mask is not None
        assert call.q.shape[1] == call.k.shape[1]
        assert not call.enable_gqa
        assert call.attn_mask.dtype == call.q.dtype
        assert not any(stride % ROW_NUMBERS for stride in call.attn_mask.stride()[:-1])
        assert call.attn_mask.stride(-1) == 1
    assert {(call.q.shape[2], call.k.shape[2]) for call in named} == {
        (FIRST, FIRST),
        (SECOND - FIRST, SECOND),
    }
    assert all(call.enable_gqa and not call.is_causal for call in named)


def test_no_plan_is_built_for_each_new_shape() -> None:
    """What torch would prefer on an H100 is off wherever the model is."""
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()
