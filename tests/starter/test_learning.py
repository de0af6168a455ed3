"""The training loop: it learns, balances its experts, resumes, and is measured by counts that are right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from engine.model.experts import Routing
from starter.auxiliary import PatchHead
from starter.evaluate import best_temperature, class_figures
from starter.examples import KINDS, Batch, ExampleMaker, pack
from starter.mixture import offer_other_classes
from starter.network import new_network, starter_config, starter_images
from starter.pictures.balance import RATE, LoadBalancer
from starter.pictures.samples import Sample
from starter.pictures.vocabulary import build_tokenizer
from starter.surfaces.surfaces import generate
from starter.train import Plan, Trainer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The starter's own."""
    directory = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(directory)
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


@pytest.fixture(scope="module")
def config(tokenizer: Tokenizer) -> dict[str, Any]:
    """The starter's shape, much narrower."""
    full = starter_config(tokenizer)
    text = full["text_config"] | {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "mlp_layer_types": ["dense", "sparse"],
        "moe_intermediate_size": [32, 32],
    }
    vision = full["vision_config"] | {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64}
    return full | {"text_config": text, "vision_config": vision}


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """A few synthetic surfaces."""
    return [generate(np.random.default_rng(seed), size=84) for seed in range(8)]


@pytest.fixture(scope="module")
def batch(tokenizer: Tokenizer, config: dict[str, Any], samples: list[Sample]) -> Batch:
    """The surfaces, every other one with its report."""
    maker = ExampleMaker(tokenizer, starter_images())
    examples = [maker.make(sample, thinking=number % 2 == 1) for number, sample in enumerate(samples)]
    return pack(examples, new_network(config).config)


def test_both_losses_fall_on_a_batch_seen_again_and_again(
    tmp_path: Path, config: dict[str, Any], batch: Batch
) -> None:
    """Eye and words learn what they are shown."""
    trainer = Trainer(tmp_path, config, Plan(minutes=1, peak_rate=3e-3, warm_up=0.0, tower_only=0.0))

    losses = [trainer.step(batch) for _ in range(30)]

    assert losses[-1]["text"] < 0.5 * losses[0]["text"]
    assert losses[-1]["vision"] < 0.8 * losses[0]["vision"]


def test_before_the_words_only_the_eye_learns(tmp_path: Path, config: dict[str, Any], batch: Batch) -> None:
    """The decoder does not move while the eye is trained alone."""
    trainer = Trainer(tmp_path, config, Plan(minutes=1, tower_only=0.5))
    before = trainer.network.decoder.layers[0].get_parameter("self_attn.q_proj.weight").clone()

    losses = trainer.step(batch)

    assert set(losses) == {"vision"}
    assert torch.equal(trainer.network.decoder.layers[0].get_parameter("self_attn.q_proj.weight"), before)


def test_a_stopped_run_goes_on_where_it_was_saved(
    tmp_path: Path, config: dict[str, Any], batch: Batch
) -> None:
    """Weights, average, optimiser and clock come back; the next step is the one that would have been."""
    plan = Plan(minutes=1, tower_only=0.0)
    first = Trainer(tmp_path, config, plan)
    first.step(batch)
    first.seconds = 12.0
    first.save()

    second = Trainer(tmp_path, config, plan)
    second.resume()

    assert (second.steps, second.seconds) == (1, 12.0)
    assert second.step(batch) == pytest.approx(first.step(batch), rel=1e-3)


def test_experts_left_idle_are_chosen_more_often(config: dict[str, Any]) -> None:
    """After a step in which every token took the same two experts, their bias falls and the others' rises."""
    network = new_network(config)
    balancer = LoadBalancer(network)
    router = network.decoder.layers[1].get_submodule("mlp.text.router")
    tokens = torch.randn(1, 64).repeat(50, 1)

    chosen = router(tokens)
    balancer.step()

    assert isinstance(chosen, Routing)
    bias = router.get_parameter("bias")
    used = chosen.experts.unique()
    assert torch.allclose(bias[used], torch.tensor(-RATE))
    assert (bias > 0).sum() == len(bias) - len(used)


def test_a_defect_of_unknown_place_is_learnt_from_the_whole_picture(batch: Batch) -> None:
    """Without a mask the most suspicious patches carry the class; without the class they must not."""
    head = PatchHead(4)
    features = torch.randn(len(batch.patches), 4)
    unknown = Batch(**{**vars(batch), "defective": (None,) * len(batch.grids)})

    loss = head.loss(features, unknown)
    loss.backward()

    assert head.linear.weight.grad is not None
    assert head.linear.weight.grad.abs().sum() > 0
    assert {kind for kind in batch.kinds if kind is not None} <= set(range(len(KINDS)))


def test_the_right_class_is_always_among_those_offered(samples: list[Sample]) -> None:
    """Whatever part of the list is offered, good stands first and the truth is in it."""
    for seed in range(40):
        offered = offer_other_classes(samples[seed % len(samples)], np.random.default_rng(seed))

        assert offered.classes[0] == "good"
        assert offered.label in offered.classes
        assert set(offered.classes) <= set(samples[0].classes)


def test_figures_count_escapes_and_overkill(samples: list[Sample]) -> None:
    """One defect called good is an escape, one good part called a defect is overkill."""
    good = [sample for sample in samples if sample.label == "good"][:1]
    bad = [sample for sample in samples if sample.label != "good"][:3]

    figures = class_figures([*good, *bad], ["scratch", "good", *(sample.label for sample in bad[1:])])

    assert figures.overkill == 1.0
    assert figures.escapes == pytest.approx(1 / 3)
    assert figures.accuracy == pytest.approx(2 / 4)


def test_scores_that_are_too_sure_are_cooled(samples: list[Sample]) -> None:
    """Half of the confident answers are wrong: the temperature rises above one; all right, it falls."""

    def sure_of(index: int, sample: Sample) -> tuple[float, ...]:
        return tuple(0.0 if number == index else -6.0 for number in range(len(sample.classes)))

    right = [sure_of(sample.classes.index(sample.label), sample) for sample in samples]
    wrong = [sure_of((sample.classes.index(sample.label) + 1) % 8, sample) for sample in samples]
    half = [*right[: len(right) // 2], *wrong[len(right) // 2 :]]

    assert best_temperature(samples, half) > 2.0
    assert best_temperature(samples, right) < 1.0
