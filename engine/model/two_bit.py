"""The experts of a compressed checkpoint, in 2 bits: they compute with the codes as they are stored.

T tokens, N output channels, K input rows, E experts, I expert size
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from engine.checkpoint.formats import CODES, SCALES, SIGNS, Parts
from engine.format.activations import multiply, quantize_activations
from engine.format.code import decode
from engine.kernels import Kernels, fused_kernels_for, kernels_for
from engine.kernels.networks import HeldRouter
from engine.model.compressed import Held
from engine.model.experts import Router


class TwoBitExperts(Held):
    """E SwiGLU networks in 2 bits; a token's output is the weighted sum over its experts.

    Codes `[E, N/128, K/4, 128]`, scales fp16 `[E, N]` and signs int8 `[K]`; N = 2I for `gate_up`.
    """

    gate_up_codes: Tensor
    gate_up_scales: Tensor
    gate_up_signs: Tensor
    down_codes: Tensor
    down_scales: Tensor
    down_signs: Tensor

    def __init__(self, router: Router, window_bits: int) -> None:
        super().__init__()
        self.router = router
        self.window_bits = window_bits

    def place(self, projection: str, parts: Parts) -> None:
        """Take the codes, scales and signs of "gate_up" or "down"."""
        for suffix in (CODES, SCALES, SIGNS):
            self.register_buffer(projection + suffix.replace(".", "_"), parts[suffix])

    def hold(self, kernels: Kernels) -> Any:  # noqa: ANN401 - a type that only compiled kernels have
        """Experts of the kernels."""
        gate_up = (self.gate_up_codes, self.gate_up_scales, self.gate_up_signs)
        down = (self.down_codes, self.down_scales, self.down_signs)
        return kernels.hold_experts(gate_up, down, self.window_bits)

    def forward(self, x: Tensor) -> Tensor:
        """`[T, hidden] -> [T, hidden]`, adding the experts up in ascending order."""
        if len(x) == 0:
            return x
        kernels = kernels_for(x.device)
        if kernels is None:
            return self.reference(x)
        chosen, weights = self._route(x)
        return kernels.run_experts(self.handle(kernels), x, chosen, weights).to(x.dtype)

    def reference(self, x: Tensor) -> Tensor:
        """The same, in torch, expert by expert."""
        routing = self.router(x)
        out = torch.zeros_like(x)
        for expert in routing.experts.unique().tolist():
            token, slot = torch.where(routing.experts == expert)
            y = self._run(expert, x[token]) * routing.weights[token, slot, None]
            out = out.index_add(0, token, y.to(out.dtype))
        return out

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kernels, router = fused_kernels_for(x.device), self.router
        if kernels is None:
            routing = router(x)
            return routing.experts, routing.weights
        return kernels.route(HeldRouter(router.weight, router.bias, router.top_k, router.norm_min), x)

    def _run(self, expert: int, x: Tensor) -> Tensor:
        both = self._multiply(self.gate_up_codes, self.gate_up_scales, self.gate_up_signs, expert, x)
        gate, up = both.chunk(2, dim=-1)
        return self._multiply(self.down_codes, self.down_scales, self.down_signs, expert, silu(gate) * up)

    def _multiply(self, codes: Tensor, scales: Tensor, signs: Tensor, expert: int, x: Tensor) -> Tensor:
        values = torch.from_numpy(decode(codes[expert].cpu().numpy(), self.window_bits)).to(x.device)
        return multiply(values, None, quantize_activations(x, signs)) * scales[expert].float()
