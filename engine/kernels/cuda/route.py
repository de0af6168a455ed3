"""The router's choice: the experts of each token and how much each counts."""

import torch
from torch import Tensor

from engine.kernels.cuda.dispatch import Routed
from engine.kernels.cuda.launch import (
    WARPS,
    Argument,
    Kernel,
    Launch,
    Launcher,
    Value,
    integers,
    launch_of,
    parts,
    read,
    written,
)

ROUTE = Kernel(
    "route",
    "route.cu",
    ("EXPERTS",),
    (
        read("logits", "float32", "T M E"),
        read("bias", "float32", "M E"),
        read("modality", "uint8", "T", optional=True),
        written("experts", "int32", "T S"),
        written("weights", "float32", "T S"),
        *integers("tokens", "modalities", "top_k"),
        Argument("norm_min", "float32"),
    ),
)
"""EXPERTS is E. Experts of modality m begin at m E; without `modality` all tokens are of the first."""


def route_launch(tokens: int, experts: int) -> Launch:
    """Each warp takes a token."""
    return launch_of(ROUTE, {"EXPERTS": experts}, parts(tokens, WARPS))


def route(
    launcher: Launcher, routed: Routed, logits: Tensor, bias: Tensor, vision: Tensor | None, norm_min: float
) -> tuple[Tensor, Tensor]:
    """The experts int32 `[T, S]` of each token, counted through all modalities, and their weights fp32.

    Of logits fp32 `[T, M E]` and the correction bias fp32 `[M, E]`; `vision` uint8 `[T]` is each token's
    modality.
    """
    experts = torch.empty(routed.tokens, routed.top_k, dtype=torch.int32, device=logits.device)
    weights = torch.empty(routed.tokens, routed.top_k, device=logits.device)
    arguments: dict[str, Value] = {
        "logits": logits,
        "bias": bias,
        "modality": vision,
        "experts": experts,
        "weights": weights,
        "tokens": routed.tokens,
        "modalities": routed.modalities,
        "top_k": routed.top_k,
        "norm_min": norm_min,
    }
    launcher.launch(route_launch(routed.tokens, routed.experts), arguments)
    return experts, weights
