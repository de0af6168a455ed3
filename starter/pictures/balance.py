"""Keeps the experts evenly used without a loss term: the routers' correction bias follows the load.

Wang et al. 2024, "Auxiliary-loss-free load balancing strategy for mixture-of-experts".
"""

import torch
from torch import Tensor, nn

from engine.model.experts import Router, Routing

RATE = 0.001


class LoadBalancer:
    """Counts what each router chooses in a step, then nudges its bias towards even use."""

    def __init__(self, network: nn.Module) -> None:
        self._loads: dict[Router, Tensor] = {}
        for module in network.modules():
            if isinstance(module, Router):
                module.register_forward_hook(self._count)

    def _count(self, router: nn.Module, _: tuple[Tensor, ...], routing: Routing) -> None:
        assert isinstance(router, Router)
        load = torch.bincount(routing.experts.flatten(), minlength=len(router.bias))
        before = self._loads.get(router)
        self._loads[router] = load if before is None else before + load

    @torch.no_grad()
    def step(self) -> None:
        """Raise the bias of experts used too little in this step, lower that of the others."""
        for router, load in self._loads.items():
            router.bias.add_(RATE * (load.float().mean() - load).sign())
        self._loads.clear()
