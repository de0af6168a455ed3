"""A mixture whose experts are all in 2 bits, on a GPU: both modalities in one pass over the tokens.

Nothing is read back from the device, and all sizes depend on the number of tokens alone.
"""

import torch
from torch import Tensor, nn

from engine.kernels.cuda import ops
from engine.kernels.cuda.handles import HeldExperts, HeldMixture
from engine.kernels.cuda.mixture import run_mixture
from engine.model.experts import MixtureOfExperts
from engine.model.two_bit import TwoBitExperts


class TwoBitMixture(nn.Module):
    """Takes the place, and the parts, of a MixtureOfExperts."""

    def __init__(self, text: TwoBitExperts, vision: TwoBitExperts, shared: nn.Module | None) -> None:
        super().__init__()
        self.text, self.vision, self.shared = text, vision, shared
        self._held: HeldMixture | None = None

    @staticmethod
    def of(plain: MixtureOfExperts) -> "TwoBitMixture":
        """The same mixture; its experts must be in 2 bits."""
        text, vision = plain.get_submodule("text"), plain.get_submodule("vision")
        assert isinstance(text, TwoBitExperts), "the text experts are not in 2 bits"
        assert isinstance(vision, TwoBitExperts), "the vision experts are not in 2 bits"
        return TwoBitMixture(text, vision, plain.shared)

    def forward(self, x: Tensor, vision_tokens: Tensor) -> Tensor:
        """`[T, hidden] -> [T, hidden]`; `vision_tokens` are the indices of those for the vision experts."""
        if self._held is None:
            self._held = self.hold(self.text.hold(ops), self.vision.hold(ops))
        vision = None
        if len(vision_tokens):
            vision = torch.zeros(len(x), dtype=torch.uint8, device=x.device).index_fill_(0, vision_tokens, 1)
        shared = None if self.shared is None else self.shared(x).contiguous()
        return run_mixture(self._held, x, vision, shared)

    def hold(self, *experts: HeldExperts) -> HeldMixture:
        """The kernels' view of the weights."""
        routers = [each.router for each in (self.text, self.vision)]
        return HeldMixture(
            experts,
            torch.cat([router.weight.detach().float() for router in routers]),
            torch.stack([router.bias.detach().float() for router in routers]),
            routers[0].top_k,
            routers[0].norm_min,
        )


def fuse(network: nn.Module) -> None:
    """Replace every mixture whose experts all lie on a GPU in 2 bits."""
    for path, module in list(network.named_modules()):
        if isinstance(module, MixtureOfExperts) and all(_on_gpu(module, name) for name in ("text", "vision")):
            network.set_submodule(path, TwoBitMixture.of(module))


def _on_gpu(mixture: MixtureOfExperts, name: str) -> bool:
    experts = mixture.get_submodule(name)
    return isinstance(experts, TwoBitExperts) and experts.down_codes.is_cuda
