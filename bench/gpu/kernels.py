"""How fast the kernels are at the sizes of the 28B model, beside the device's limits and torch's products."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear as product
from torch.nn.functional import silu

from bench.gpu import targets
from bench.gpu.rows import Spread
from bench.gpu.setting import WINDOW_BITS, Part, Setting
from engine.format.layout import SEGMENT, SPREAD
from engine.kernels import cpu
from engine.kernels.cuda.launch import Launch, Launcher, Value
from engine.quant import segments
from engine.quant.groups import group_shapes

Stack = tuple[Tensor, Tensor, Tensor]

GEMV = ("expert_gemv",)
GEMM = ("expert_gate_up", "expert_down")
AROUND = ("dispatch", "combine")
MANY_TARGETS = (targets.GEMM_PEAK, targets.DISPATCH_SHARE, targets.GEMM_BASELINE)
DRAWS = 16
"""So many choices of experts take turns, so that a layer's codes do not stay in the cache."""
MANY_DRAWS = 2
"""With many tokens every choice takes all experts."""


def ops_of(device: torch.device) -> ModuleType:
    """The kernels' functions for tensors of that device."""
    if device.type == "cuda":
        from engine.kernels.cuda import ops as cuda_ops

        return cuda_ops
    if not cpu.available():
        raise RuntimeError("the CPU kernels are not built: install the package with a C++ compiler")
    from engine.kernels.cpu import ops as cpu_ops

    return cpu_ops


class Limits(NamedTuple):
    """What the device reaches: bytes a second copied, int8 and bf16 operations a second."""

    copy: float
    int8: float
    bf16: float


@dataclass
class Recorder:
    """A launcher that keeps what it passes on, so that single kernels can be launched again."""

    inner: Launcher
    kept: list[tuple[Launch, Mapping[str, Value]]] = field(default_factory=list)

    @property
    def multiprocessors(self) -> int:
        """As the device has."""
        return self.inner.multiprocessors

    def launch(self, launch: Launch, arguments: Mapping[str, Value]) -> None:
        """Launch and keep it, its arrays too."""
        self.kept.append((launch, arguments))
        self.inner.launch(launch, arguments)

    def again(self, names: tuple[str, ...]) -> None:
        """Launch those of these kernels once more, in their order."""
        for launch, arguments in self.kept:
            if launch.kernel.name in names:
                self.inner.launch(launch, arguments)


class Layer:
    """Random experts of one modality, and choices of them for many tokens."""

    def __init__(self, setting: Setting, size: int) -> None:
        text = setting.sizes.text
        self.setting, self.size, self.hidden = setting, size, text.hidden_size
        self.experts, self.top_k = text.num_experts, text.experts_per_token
        self.gate_up = setting.stack(self.experts, 2 * size, self.hidden)
        self.down = setting.stack(self.experts, self.hidden, size)
        self.ops = ops_of(setting.device)
        self.held = self.ops.hold_experts(self.gate_up, self.down, WINDOW_BITS)

    @property
    def weights(self) -> int:
        """Of one expert."""
        return 3 * self.hidden * self.size

    @property
    def stored(self) -> int:
        """Bytes of one expert's codes and scales."""
        parts = (*self.gate_up[:2], *self.down[:2])
        return sum(part.numel() * part.element_size() for part in parts) // self.experts

    def whole(self, tokens: int, chosen: list[Tensor]) -> Spread:
        """Seconds that the device computes for one call, from hidden states to hidden states."""
        call = self._call(self.held, tokens)
        all_calls = self.setting.clock.busy(
            lambda _: [call(each) for each in chosen], self.setting.sizes.repeats
        )
        return all_calls.of_each(len(chosen))

    def times(self, tokens: int, names: tuple[str, ...], chosen: list[Tensor]) -> Spread:
        """Seconds of these kernels together in one call; without a GPU, of the whole call.

        All calls' are launched in a row: two time stamps around a single kernel take as long as it does.
        """
        if not self.setting.on_gpu:
            return self.whole(tokens, chosen)
        recorder = Recorder(self.held.launcher)
        call = self._call(self.held._replace(launcher=recorder), tokens)
        for each in chosen:
            call(each)
        found = {launch.kernel.name for launch, _ in recorder.kept}
        assert found.issuperset(names), f"only {sorted(found)} were launched for {tokens} tokens"
        # What expert_gemv counts up, only dispatch sets back to zero.
        all_calls = self.setting.clock.busy(
            lambda _: recorder.again(names),
            self.setting.sizes.repeats,
            before=lambda _: recorder.again(("dispatch",)),
        )
        return all_calls.of_each(len(chosen))

    def _call(self, held: Any, tokens: int) -> Callable[[Tensor], Tensor]:  # noqa: ANN401 - as ops makes it
        x, weights = self.setting.normal(tokens, self.hidden), self.setting.weights(tokens, self.top_k)
        return lambda chosen: self.ops.run_experts(held, x, chosen, weights)

    def choices(self, tokens: int, draws: int) -> list[Tensor]:
        """Several choices of experts."""
        return [self.setting.chosen(tokens, self.top_k, self.experts) for _ in range(draws)]


def parts(setting: Setting) -> dict[str, Part]:
    """Each kernel by itself, for few tokens and for many."""
    text = setting.sizes.text
    found: dict[str, Part] = {}
    for name, size in (("text", text.text_expert_size), ("vision", text.vision_expert_size)):
        found[f"few tokens, {name}"] = Part(partial(few, name, size), (targets.GEMV_BANDWIDTH,))
        found[f"many tokens, {name}"] = Part(partial(many, name, size), MANY_TARGETS)
    return found | {"linear4 and linear8": Part(linears), "encode": Part(encoding)}


@cache
def measure_limits(setting: Setting) -> Limits:
    """Copy bandwidth and the peaks of torch's own products, on random numbers; measured once."""
    size, repeats, device = setting.sizes.square, setting.sizes.repeats, setting.device
    source = setting.whole(0, 256, setting.sizes.copied, dtype=torch.uint8)
    target = torch.empty_like(source)
    copied = setting.clock.busy(lambda _: target.copy_(source), repeats)
    a8, b8 = (setting.whole(-127, 128, size, size).to(torch.int8) for _ in range(2))
    wide = [torch.randn(size, size, generator=setting.draw, device=device).bfloat16() for _ in range(2)]
    eight = setting.clock.busy(lambda _: torch._int_mm(a8, b8.T), repeats)  # noqa: SLF001 - it has no other
    sixteen = setting.clock.busy(lambda _: wide[0] @ wide[1], repeats)
    operations = 2.0 * size**3
    limits = Limits(2 * len(source) / copied.median, operations / eight.median, operations / sixteen.median)
    setting.rows.add("copy bandwidth", limits.copy / 1e9, "GB/s", str(copied))
    setting.rows.add("int8 peak", limits.int8 / 1e12, "TOPS", f"{size} cubed, {eight}")
    setting.rows.add("bf16 peak", limits.bf16 / 1e12, "TFLOPS", f"{size} cubed, {sixteen}")
    return limits


def few(name: str, size: int, setting: Setting) -> None:
    """The kernel for few tokens: which share of the copy bandwidth its stream of codes reaches."""
    limits, layer = measure_limits(setting), Layer(setting, size)
    for tokens in setting.sizes.few:
        chosen = layer.choices(tokens, DRAWS)
        hit = sum(len(each.unique()) for each in chosen) / len(chosen)
        spread = layer.times(tokens, GEMV, chosen)
        share = hit * layer.stored / spread.median / limits.copy
        note = f"{name}, {tokens} tokens, {hit:.1f} experts, {spread}"
        setting.rows.add(targets.GEMV_BANDWIDTH, 100 * share, "%", note)


def many(name: str, size: int, setting: Setting) -> None:
    """The kernels for many tokens beside the int8 peak and bf16 products, and what stands around them."""
    limits, layer, tokens = measure_limits(setting), Layer(setting, size), setting.sizes.many
    chosen = layer.choices(tokens, MANY_DRAWS)
    spread = layer.times(tokens, GEMM, chosen)
    operations = 2.0 * tokens * layer.top_k * layer.weights
    note = f"{name}, {tokens} tokens, {spread}"
    setting.rows.add(targets.GEMM_PEAK, 100 * operations / spread.median / limits.int8, "%", note)
    around = layer.times(tokens, AROUND, chosen)
    whole = layer.whole(tokens, chosen)
    share = 100 * around.median / whole.median
    setting.rows.add(targets.DISPATCH_SHARE, share, "%", f"{name}, {tokens} tokens, {around} of {whole}")
    with setting.rows.attempt(targets.GEMM_BASELINE):
        baselines(setting, layer, chosen, spread, name)


def baselines(setting: Setting, layer: Layer, chosen: list[Tensor], ours: Spread, name: str) -> None:
    """A loop of bf16 products over the experts, with the weights there, and decoded for each call.

    Which tokens are whose is known before, so that the loop never waits for the host.
    """
    tokens, dtype = setting.sizes.many, torch.bfloat16
    x = setting.normal(tokens, layer.hidden).to(dtype)
    shapes = (2 * layer.size, layer.hidden), (layer.hidden, layer.size)
    ready = [
        torch.randn(layer.experts, *shape, generator=setting.draw, device=setting.device).to(dtype) * 0.02
        for shape in shapes
    ]
    owned = [[torch.where(each == expert)[0] for expert in range(layer.experts)] for each in chosen]

    def loop(number: int, decoding: bool) -> None:
        for expert, own in enumerate(owned[number % len(owned)]):
            up, down = decoded(layer, expert, dtype) if decoding else (ready[0][expert], ready[1][expert])
            gate, ups = product(x[own], up).chunk(2, dim=-1)
            product(silu(gate) * ups, down)

    clock, repeats = setting.clock, max(1, setting.sizes.repeats // 3)
    # Decoding is more launches than a GPU's queue holds, so its host's part cannot be left out.
    for what, spread in (
        ("ready", clock.busy(partial(loop, decoding=False), repeats)),
        ("decoded for each call, with the host's part", clock.spread(partial(loop, decoding=True), repeats)),
    ):
        note = f"{name}, {tokens} tokens, weights {what}, {spread}"
        setting.rows.add(targets.GEMM_BASELINE, spread.median / ours.median, "x", note)


def decoded(layer: Layer, expert: int, dtype: torch.dtype) -> Iterator[Tensor]:
    """The matrices of an expert by torch's own operations, in the rotated basis."""
    for codes, scales, _ in (layer.gate_up, layer.down):
        tiles, quads, length = codes[expert].shape
        values = segments.decode(codes[expert].flatten(0, 1), WINDOW_BITS).unflatten(0, (tiles, quads))
        matrix = values.to(dtype).transpose(1, 2).reshape(tiles * length, -1)
        yield matrix * scales[expert].to(dtype)[:, None]


def linears(setting: Setting) -> None:
    """The 4-bit and 8-bit layers of a step: which share of the copy bandwidth they reach."""
    limits, text, ops = measure_limits(setting), setting.sizes.text, ops_of(setting.device)
    rows, wide, vocabulary = text.hidden_size, text.intermediate_size, text.vocab_size
    nibbles, group_scales = group_shapes(wide, rows)
    codes4 = setting.whole(0, 256, *nibbles, dtype=torch.uint8)
    codes8 = setting.whole(-127, 128, vocabulary, rows, dtype=torch.int8)
    scales8 = torch.ones(vocabulary, device=setting.device)
    four = ops.groups4(codes4, torch.ones(group_scales, device=setting.device).half(), wide)
    eight = ops.rows8(codes8, scales8)
    for name, matrix, channels, stored in (
        ("linear4", four, wide, codes4.numel() * 17 / 16),
        ("linear8, the head", eight, vocabulary, codes8.numel()),
    ):
        for tokens in (setting.sizes.few[0], setting.sizes.few[-1]):
            work = partial(_multiply, ops, matrix, channels, setting.normal(tokens, rows))
            spread = setting.clock.busy(work, setting.sizes.repeats)
            share = 100 * stored / spread.median / limits.copy
            setting.rows.add(f"{name}, share of the copy bandwidth", share, "%", f"{tokens} tokens, {spread}")


def _multiply(ops: ModuleType, matrix: object, channels: int, x: Tensor, _number: int) -> None:
    ops.linear(matrix, channels, x)


def encoding(setting: Setting) -> None:
    """The search, at as many segments as a stack of the 28B model has."""
    count = setting.sizes.segments
    weights = torch.randn(count, SEGMENT, 4, generator=setting.draw, device=setting.device) * SPREAD
    aims = segments.targets_of(weights)
    spread = setting.clock.busy(lambda _: segments.encode(aims, WINDOW_BITS), min(3, setting.sizes.repeats))
    rate = weights.numel() / spread.median
    setting.rows.add(
        "encode", rate / 1e6, "million weights/s", f"L = {WINDOW_BITS}, {count} segments, {spread}"
    )
    setting.rows.add("encode, 28B", 27.2e9 / rate / 60, "min", "the routed experts, from the rate")
