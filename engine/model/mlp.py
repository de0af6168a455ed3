"""The gated feed-forward network (Shazeer 2020, SwiGLU), of the dense layer and of the shared experts."""

from torch import Tensor, nn
from torch.nn.functional import silu

from engine.model.compressed import feed_forward


class SwiGLU(nn.Module):
    """`down(silu(gate x) * up x)`, without biases."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[T, hidden] -> [T, hidden]`."""
        out = feed_forward(self.gate_proj, self.up_proj, self.down_proj, x)
        if out is None:
            out = self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
        return out
