"""The mixture of experts, with one set of experts for text and one for vision.

T tokens, E experts, K experts a token, I expert size
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from engine.checkpoint.config import TextConfig
from engine.model.grouped import swiglu_of_experts
from engine.model.mlp import SwiGLU


class Routing(NamedTuple):
    """Which experts serve each token and how much each counts, both `[T, K]`.

    `probabilities` `[T, E]` are those of all experts, before the choice.
    """

    experts: Tensor
    weights: Tensor
    probabilities: Tensor


class Router(nn.Module):
    """Chooses K of E experts: softmax in fp32, chosen with the correction bias, weighted without it."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.top_k = config.experts_per_token
        self.norm_min = config.router_norm_min
        self.weight = nn.Parameter(torch.zeros(config.num_experts, config.hidden_size, dtype=torch.float32))
        self.bias = nn.Parameter(torch.zeros(config.num_experts, dtype=torch.float32), requires_grad=False)

    def forward(self, x: Tensor) -> Routing:
        """Route the tokens `[T, hidden]`; weights come back in their dtype."""
        with torch.autocast(x.device.type, enabled=False):
            probabilities = linear(x.float(), self.weight).softmax(-1)
            experts = (probabilities + self.bias).topk(self.top_k, dim=-1).indices
            weights = probabilities.gather(-1, experts)
            weights = weights / weights.sum(-1, keepdim=True).clamp(min=self.norm_min)
        return Routing(experts, weights.to(x.dtype), probabilities)


class Experts(nn.Module):
    """E SwiGLU networks; a token's output is the weighted sum over its K experts."""

    def __init__(self, config: TextConfig, size: int) -> None:
        super().__init__()
        self.router = Router(config)
        self.gate_up = nn.Parameter(torch.empty(config.num_experts, 2 * size, config.hidden_size))
        self.down = nn.Parameter(torch.empty(config.num_experts, config.hidden_size, size))

    def forward(self, x: Tensor) -> Tensor:
        """`[T, hidden] -> [T, hidden]`: expert by expert on a processor, else in blocks."""
        routing = self.router(x)
        if x.device.type != "cpu":
            return swiglu_of_experts(x, routing.experts, routing.weights, self.gate_up, self.down)
        out = torch.zeros_like(x)
        for expert in routing.experts.unique().tolist():
            token, slot = torch.where(routing.experts == expert)
            gate, up = linear(x[token], self.gate_up[expert]).chunk(2, dim=-1)
            y = linear(silu(gate) * up, self.down[expert]) * routing.weights[token, slot, None]
            out = out.index_add(0, token, y.to(out.dtype))
        return out


class MixtureOfExperts(nn.Module):
    """Sends each token to the experts of its modality, and every token through the shared experts."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.text = Experts(config, config.text_expert_size)
        self.vision = Experts(config, config.vision_expert_size)
        self.shared = (
            SwiGLU(config.hidden_size, config.num_shared_experts * config.text_expert_size)
            if config.num_shared_experts
            else None
        )

    def forward(self, x: Tensor, vision_tokens: Tensor) -> Tensor:
        """`[T, hidden] -> [T, hidden]`; `vision_tokens` are the indices of those for the vision experts."""
        if len(vision_tokens) == 0:
            out = self.text(x)
        else:
            is_text = torch.ones(len(x), dtype=torch.bool, device=x.device)
            is_text[vision_tokens] = False
            text_tokens = is_text.nonzero()[:, 0]
            out = torch.empty_like(x)
            out = out.index_copy(0, text_tokens, self.text(x[text_tokens]).to(out.dtype))
            out = out.index_copy(0, vision_tokens, self.vision(x[vision_tokens]).to(out.dtype))
        return out if self.shared is None else out + self.shared(x)
