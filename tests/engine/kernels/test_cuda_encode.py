"""The search for the 2-bit code as a CUDA kernel, run on the CPU: the bytes of its oracle."""

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.format.layout import SPREAD
from engine.kernels.cuda.encode import EncodePlan, encode_by, encode_plan
from engine.kernels.cuda.encode import encode as search
from engine.quant import viterbi
from engine.quant.encoder import encode
from engine.quant.viterbi import LARGEST_TARGET, TARGET_STEPS, Targets
from tests.engine.kernels.cuda_shim.launcher import OnShim

pytestmark = pytest.mark.slow


def gaussian(seed: int, segments: int) -> Targets:
    """Targets of weights as the quantizer sees them."""
    return viterbi.as_targets(
        np.random.default_rng(seed).standard_normal((segments, 128, 4), np.float32) * np.float32(SPREAD)
    )


def narrow(plan: EncodePlan, window_bits: int) -> EncodePlan:
    """The same with one segment a thread block and one thread block: less for a CPU to emulate."""
    constants = {**plan.launch.constants, "SEGMENTS": "1"}
    return EncodePlan(plan.launch._replace(constants=constants, grid=(1, 1, 1)), 128 << (window_bits - 8))


def searched(launcher: OnShim, plan: EncodePlan, targets: Targets) -> Tensor:
    """The bytes that the kernel finds by a plan."""
    return encode_by(plan, launcher, torch.from_numpy(targets), TARGET_STEPS)


def test_segments_side_by_side_get_the_bytes_of_the_cpu(launcher: OnShim) -> None:
    """A thread block takes four, and then the fifth by itself."""
    targets = gaussian(1, 5)
    plan = encode_plan(len(targets), 16, multiprocessors=1)

    found = searched(launcher, EncodePlan(plan.launch._replace(grid=(1, 1, 1)), plan.scratch // 2), targets)

    assert np.array_equal(found.numpy(), encode(targets, 16))


@pytest.mark.parametrize("window_bits", [16, 18])
def test_one_segment_gets_the_bytes_of_the_oracle(launcher: OnShim, window_bits: int) -> None:
    """Whatever the number of states."""
    targets = gaussian(window_bits, 1)

    found = searched(launcher, narrow(encode_plan(1, window_bits, multiprocessors=1), window_bits), targets)

    assert np.array_equal(found.numpy(), viterbi.encode(targets, window_bits))


def test_targets_beyond_every_value_do_not_overflow(launcher: OnShim) -> None:
    """The largest costs there can be, of one sign, of both, and none at all, where all states tie."""
    targets = np.zeros((4, 128, 4), np.int8)
    targets[0], targets[1], targets[2, ::2] = LARGEST_TARGET, -LARGEST_TARGET, LARGEST_TARGET

    found = searched(launcher, encode_plan(4, 16, multiprocessors=1), targets)

    assert np.array_equal(found.numpy(), encode(targets, 16))


def test_the_function_that_encodes_launches_the_search(launcher: OnShim) -> None:
    """Tensors in, tensors out."""
    targets = gaussian(7, 2)

    found = search(launcher, torch.from_numpy(targets), 16, TARGET_STEPS)

    assert np.array_equal(found.numpy(), encode(targets, 16))


def test_the_scratch_is_what_the_thread_blocks_use() -> None:
    """A number of a byte for each state of each of 128 steps of each segment that is under way."""
    few, many = encode_plan(5, 16, 132), encode_plan(100_000, 18, 132)

    assert (few.launch.grid, few.scratch) == ((2, 1, 1), 2 * 4 * 128 * 256)
    assert many.scratch == many.launch.grid[0] * 4 * 128 * 1024


@pytest.mark.parametrize("window_bits", [16, 18, 20])
def test_the_keys_fit_the_smallest_card(window_bits: int) -> None:
    """A thread block of compute capability 8.6 or 8.9 has at most 99 KiB of shared memory."""
    assert encode_plan(100_000, window_bits, 58).launch.shared <= 99 << 10
