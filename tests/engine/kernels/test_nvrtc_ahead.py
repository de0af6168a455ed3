"""Kernels compiled before a worker starts are those that it will launch, and are found first."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from engine.errors import KernelUncompiled
from engine.format.layout import WINDOW_BITS
from engine.kernels.cuda import ahead, expert_gemm
from engine.kernels.cuda.ahead import ELEMENT, RELEASED
from engine.kernels.cuda.cache import CubinCache
from engine.kernels.cuda.combine import combine_launch
from engine.kernels.cuda.compiler import fingerprint, unit
from engine.kernels.cuda.dispatch import Routed, block_tokens_for, dispatch_launch
from engine.kernels.cuda.expert_gemv import gemv_plan
from engine.kernels.cuda.handles import Sizes
from engine.kernels.cuda.launch import FEW, Launch
from engine.kernels.cuda.linear import LINEAR4, LINEAR8, linear_launch
from engine.kernels.cuda.linear_gemm import LINEAR4_MANY, LINEAR8_MANY, linear_gemm_launch
from engine.kernels.cuda.quantize import QUANTIZE, SWIGLU_QUANTIZE, quantize_launch
from engine.kernels.cuda.route import route_launch

CARD = "sm_90"
SIZES = Sizes(2560, 1536)
TOKENS = (1, 2, 3, 5, 8, 17, 100, 384, 2048)


def _launches(tokens: int, window_bits: int, modalities: int) -> Iterator[Launch]:
    """What a pass of the released model over so many tokens launches."""
    routed = Routed(tokens, RELEASED.top_k, RELEASED.experts, modalities)
    at_once = block_tokens_for(routed)
    yield route_launch(tokens, routed.experts)
    yield dispatch_launch(routed)
    yield combine_launch(ELEMENT, tokens, routed.top_k, SIZES.hidden)
    yield from (
        quantize_launch(kernel, ELEMENT, tokens, SIZES.hidden) for kernel in (QUANTIZE, SWIGLU_QUANTIZE)
    )
    if at_once <= FEW[-1]:
        yield gemv_plan(ELEMENT, window_bits, routed, SIZES, block_tokens=at_once, multiprocessors=132).launch
    else:
        yield expert_gemm.gate_up_launch(ELEMENT, window_bits, routed, SIZES, block_tokens=at_once)
        yield expert_gemm.down_launch(ELEMENT, window_bits, routed, SIZES, block_tokens=at_once)
    few = tokens <= FEW[-1]
    kernels, launch = (
        ((LINEAR8, LINEAR4), linear_launch) if few else ((LINEAR8_MANY, LINEAR4_MANY), linear_gemm_launch)
    )
    yield from (launch(kernel, ELEMENT, tokens, SIZES.hidden) for kernel in kernels)


def test_whatever_serving_launches_is_compiled_ahead() -> None:
    """However many tokens there are, in one modality or both, for every window of the code."""
    ready = set(ahead.units((CARD,)))
    for tokens, window_bits, modalities in product(TOKENS, WINDOW_BITS, (1, 2)):
        for launch in _launches(tokens, window_bits, modalities):
            assert unit(launch.kernel.source, launch.constants, CARD) in ready, launch


def test_every_card_gets_every_unit_once() -> None:
    """As many for each, all of them different."""
    wanted = ahead.units(ahead.CARDS)
    assert len(set(wanted)) == len(wanted) == len(ahead.CARDS) * len(ahead.units((CARD,)))


def test_only_what_is_missing_is_compiled(tmp_path: Path) -> None:
    """A second time nothing is; a file that was cut off is."""
    wanted = [each for each in ahead.units((CARD,)) if each.source in ("route.cu", "combine.cu")]
    told: list[tuple[int, int]] = []
    assert ahead.build(tmp_path, wanted, lambda done, total: told.append((done, total))) == len(wanted)
    assert told[-1] == (len(wanted), len(wanted))
    assert ahead.build(tmp_path, wanted) == 0
    damaged = tmp_path / f"{fingerprint(wanted[0])}.cubin"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert ahead.build(tmp_path, wanted) == 1


def test_an_architecture_that_the_compiler_does_not_know_is_named(tmp_path: Path) -> None:
    """Before anything is compiled."""
    with pytest.raises(KernelUncompiled, match="knows no sm_12") as caught:
        ahead.build(tmp_path, ahead.units(("sm_12",)))
    assert CARD in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_what_was_shipped_is_found_first_and_never_written(tmp_path: Path) -> None:
    """What is compiled later goes to the folder of this machine."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    CubinCache(shipped).write("a", b"shipped")
    CubinCache(own).write("a", b"own")
    both = CubinCache(own, shipped)
    both.write("b", b"new")
    assert (both.read("a"), both.read("b"), both.read("c")) == (b"shipped", b"new", None)
    assert [path.name for path in shipped.iterdir()] == ["a.cubin"]
