"""Our network against transformers' on random tiny models of varied shape, in every layout they come in."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Ernie4_5_VLMoeForConditionalGeneration

from engine.model import ErnieVL, load
from tests.engine.alone import Alone
from tests.engine.reference import END, PLACEHOLDER, START, Question, reference_greedy, reference_logits
from tests.engine.tiny import Shape, random_model, random_pixels

TOLERANCE = 1e-4
WRITTEN = 6


def varied_shape(rng: np.random.Generator) -> Shape:
    """A shape drawn at random; every size that our loader reads from the configuration varies."""
    experts = int(rng.integers(2, 9))
    kv_heads, group = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    layers = int(rng.integers(2, 5))
    return Shape(
        layers=layers,
        dense_layers=int(rng.integers(0, layers)),
        heads=kv_heads * group,
        kv_heads=kv_heads,
        head_dim=int(rng.choice([8, 16, 32])),
        hidden_size=int(rng.choice([32, 48, 64])),
        experts=experts,
        expert_sizes=(int(rng.integers(8, 50)), int(rng.integers(8, 50))),
        top_k=int(rng.integers(1, experts + 1)),
        shared_experts=int(rng.integers(0, 3)),
        vision_depth=int(rng.integers(1, 4)),
        vision_heads=int(rng.integers(1, 4)),
        tied=bool(rng.integers(0, 2)),
    )


def _whole(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory)


def _sharded(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory, max_shard_size="100KB")
    assert len(list(directory.glob("model-*.safetensors"))) > 1


def _top_level_vision(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    """The vision tower under the prefix of the released repositories."""
    model.save_pretrained(directory)
    path = directory / "model.safetensors"
    tensors = {key.replace("model.vision_model.", "vision_model."): t for key, t in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def _stored_head(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    """The head stored even where it is tied to the embedding, as in some released checkpoints."""
    model.save_pretrained(directory)
    path = directory / "model.safetensors"
    tensors = load_file(path)
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"].clone())
    save_file(tensors, path, metadata={"format": "pt"})


LAYOUTS = (_whole, _sharded, _top_level_vision, _stored_head)


@torch.inference_mode()
def _greedy(network: ErnieVL, question: Question) -> Iterator[int]:
    """Write token by token through the KV cache."""
    sequence = Alone(network, question.encoded(network.config), WRITTEN)
    for _ in range(WRITTEN):
        logits = sequence.last
        logits[[PLACEHOLDER, START, END]] = -torch.inf
        token = int(logits.argmax())
        yield token
        sequence.append([token])


@pytest.mark.parametrize("seed", range(20))
def test_logits_and_greedy_tokens_are_those_of_transformers(seed: int, tmp_path: Path) -> None:
    """fp32 logits agree within 1e-4 at every token, and greedy writing token for token."""
    rng = np.random.default_rng(seed)
    shape = varied_shape(rng)
    model = random_model(shape, seed)
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    LAYOUTS[seed // 5](model, tmp_path)
    network = load(tmp_path, torch.float32, "cpu")
    images = [random_pixels(rng, *rng.integers(20, 180, 2)) for _ in range(seed % 4)]
    question = Question(rng, images)

    grids = torch.tensor(question.grids) if images else None
    with torch.inference_mode():
        logits = network(torch.tensor(question.ids), question.patches, grids)

    assert (logits - reference_logits(model, question)).abs().max() < TOLERANCE
    assert list(_greedy(network, question)) == reference_greedy(model, question, WRITTEN)


@torch.inference_mode()
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_a_prompt_in_pieces_ends_in_the_same_state(tiny_checkpoint: Path, chunk: int) -> None:
    """What follows the image is fed piece by piece; the last logits are those of one pass over the whole."""
    network = load(tiny_checkpoint, torch.float32, "cpu")
    rng = np.random.default_rng(11)
    question = Question(rng, [random_pixels(rng, 90, 120)])
    whole = Alone(network, question.encoded(network.config), 0).last

    split = question.ids.index(END) + 1
    question.ids, rest = question.ids[:split], question.ids[split:]
    sequence = Alone(network, question.encoded(network.config), len(rest))
    for start in range(0, len(rest), chunk):
        sequence.append(rest[start : start + chunk])

    assert len(rest) > chunk
    torch.testing.assert_close(sequence.last, whole, rtol=0, atol=TOLERANCE)
