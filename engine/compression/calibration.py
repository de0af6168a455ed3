"""Carries calibration prompts through the network, one layer in memory at a time.

T tokens of all prompts in a row, E experts
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.names import pieces_of
from engine.model.cache import AttentionLayout
from engine.model.decoder import DecoderLayer
from engine.model.experts import Experts, MixtureOfExperts
from engine.model.network import ErnieVL
from engine.model.rope import text_positions, text_rotation
from engine.quant.hessian import Moments
from engine.serving.prompts import EncodedPrompt, PromptEncoder
from engine.serving.requests import Prompt

ValueOf = Callable[[str, tuple[int, ...]], Tensor]
"""The values of a weight, by its name in the checkpoint and its shape."""

WeightOf = Callable[[int], Tensor]
"""The weight of an expert, by its number."""

Encode = Callable[[str, Sequence[Moments]], WeightOf]
"""Given a projection and its inputs, of all experts together or of each: the weights as they will be kept."""


@dataclass(frozen=True)
class Example:
    """A prompt as the product asks it, and an answer as the model may give it."""

    prompt: Prompt
    thinking: bool
    answer: str


def encode_examples(
    directory: Path, config: ModelConfig, examples: Sequence[Example]
) -> tuple[EncodedPrompt, ...]:
    """The examples as the network reads them, each with its answer behind the prompt."""
    encoder = PromptEncoder(directory, config, config.text.max_positions)
    encoded = []
    for example in examples:
        answer = encoder.tokenizer.encode(example.answer)
        prompt = encoder.encode(example.prompt, example.thinking, len(answer))
        token_ids = [*prompt.token_ids.tolist(), *answer]
        positions, following = text_positions(token_ids, prompt.grids, config)
        encoded.append(
            replace(prompt, token_ids=torch.tensor(token_ids), positions=positions, next_position=following)
        )
    return tuple(encoded)


def digest_of_examples(examples: Sequence[EncodedPrompt]) -> str:
    """SHA-256 over tokens and pictures."""
    total = hashlib.sha256()
    for example in examples:
        total.update(example.token_ids.numpy().tobytes())
        if example.patches is not None:
            total.update(example.patches.numpy().tobytes())
    return total.hexdigest()


def fill(module: nn.Module, prefix: str, config: ModelConfig, value_of: ValueOf) -> None:
    """Give a module that was made without memory its weights in fp32; routed experts stay without."""
    for name, parameter in list(module.named_parameters()):
        if name.endswith((".gate_up", ".down")):
            continue
        (piece,) = pieces_of(f"{prefix}{name}", tuple(parameter.shape), config)
        owner, _, leaf = name.rpartition(".")
        values = piece.of(value_of(piece.key, piece.shape)).float()
        setattr(module.get_submodule(owner), leaf, nn.Parameter(values, requires_grad=False))


def fill_while_used(module: nn.Module, prefix: str, config: ModelConfig, value_of: ValueOf) -> None:
    """As `fill`, but only while the module computes: the whole vision tower in fp32 would take gigabytes."""

    def take(module: nn.Module, _: object) -> None:
        fill(module, prefix, config, value_of)

    def give_back(module: nn.Module, *_: object) -> None:
        module.to_empty(device="meta")

    module.register_forward_pre_hook(take)
    module.register_forward_hook(give_back)


class Walk:
    """The hidden states `[T, hidden]` of all examples at the entry of a layer."""

    def __init__(self, config: ModelConfig, examples: Sequence[EncodedPrompt]) -> None:
        self.config = config
        self._examples = examples
        self._places = torch.tensor([0, *(example.length for example in examples)]).cumsum(0).tolist()
        special = torch.tensor(config.image_special_ids)
        self._is_vision = torch.isin(torch.cat([example.token_ids for example in examples]), special)
        self.states = torch.empty(0)

    @torch.inference_mode()
    def enter(self, value_of: ValueOf) -> None:
        """Compute the states at the entry of the first layer: words embedded, pictures seen."""
        images = self._see(value_of)
        with torch.device("meta"):
            embedding = nn.Embedding(self.config.text.vocab_size, self.config.text.hidden_size)
        fill(embedding, "decoder.embed_tokens.", self.config, value_of)
        rows = []
        for example, seen in zip(self._examples, images, strict=True):
            x = embedding(example.token_ids)
            if seen is not None:
                x[example.token_ids == self.config.image_token_id] = seen
            rows.append(x)
        self.states = torch.cat(rows)

    def _see(self, value_of: ValueOf) -> list[Tensor | None]:
        with torch.device("meta"):
            network = ErnieVL(self.config)
        tower = network.vision_model
        for name, part in tower.named_children():
            if part is not tower.blocks:
                fill(part, f"vision_model.{name}.", self.config, value_of)
        for number, block in enumerate(tower.blocks):
            fill_while_used(block, f"vision_model.blocks.{number}.", self.config, value_of)
        fill(network.resampler_model, "resampler_model.", self.config, value_of)
        return [
            None if example.patches is None else network.see(example.patches, example.grids)
            for example in self._examples
        ]

    @torch.inference_mode()
    def through(self, number: int, value_of: ValueOf, encode: Callable[[str], Encode]) -> None:
        """Go through a layer, with the experts of each modality as `encode` gives them back."""
        with torch.device("meta"):
            layer = DecoderLayer(self.config.text, number)
        fill(layer, f"decoder.layers.{number}.", self.config, value_of)
        normed = self._attend(layer)
        mixture = layer.mlp
        if not isinstance(mixture, MixtureOfExperts):
            self._add(mixture, normed)
            return
        sides = (("text", mixture.text, ~self._is_vision), ("vision", mixture.vision, self._is_vision))
        for modality, experts, chosen in sides:
            self.states[chosen] += through_experts(experts, normed[chosen], encode(modality))
        if mixture.shared is not None:
            self._add(mixture.shared, normed)

    def _attend(self, layer: DecoderLayer) -> Tensor:
        """Add the attention to the states; returns what enters the feed-forward network."""
        normed = torch.empty_like(self.states)
        for example, place in zip(self._examples, self._slices(), strict=True):
            rotation = text_rotation(example.positions, self.config)
            x = self.states[place]
            x += layer.self_attn(layer.input_layernorm(x), rotation, AttentionLayout.causal([example.length]))
            normed[place] = layer.post_attention_layernorm(x)
        return normed

    def _add(self, network: nn.Module, normed: Tensor) -> None:
        for place in self._slices():
            self.states[place] += network(normed[place])

    def _slices(self) -> list[slice]:
        return [slice(*ends) for ends in zip(self._places, self._places[1:], strict=False)]


def through_experts(experts: Experts, x: Tensor, encode: Encode) -> Tensor:
    """`[T, hidden] -> [T, hidden]` through experts as they will be kept.

    What reaches the down projections is computed with the kept gates, and counts by the square of the
    router's weight, as an error of theirs does.
    """
    routing = experts.router(x)
    count, channels, _ = experts.gate_up.shape
    chosen = [torch.where(routing.experts == expert) for expert in range(count)]
    arriving = Moments(x.shape[1])
    arriving.add(x)
    gate_up = encode("gate_up", [arriving])

    def between(expert: int) -> Tensor:
        gate, up = linear(x[chosen[expert][0]], gate_up(expert)).chunk(2, dim=-1)
        return silu(gate) * up

    inner = [Moments(channels // 2) for _ in range(count)]
    for expert, moments in enumerate(inner):
        moments.add(between(expert), routing.weights[chosen[expert]].square())
    down = encode("down", inner)
    out = torch.zeros_like(x)
    for expert, (token, slot) in enumerate(chosen):
        y = linear(between(expert), down(expert)) * routing.weights[token, slot, None]
        out.index_add_(0, token, y)
    return out
