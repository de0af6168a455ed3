"""A quick look at how training goes, on pictures kept apart for it; the test pictures have no part in it."""

import numpy as np
import torch

from engine.model.network import ErnieVL
from starter.examples import ExampleMaker
from starter.mixture import Mixture
from starter.pictures.samples import Sample
from starter.surfaces.surfaces import generate

FIRST_SEED = 900_000_000
"""Below the seeds of the held-out surfaces, above those that a training run reaches."""

COUNT = 80


def validation_sets(mixture: Mixture) -> dict[str, tuple[Sample, ...]]:
    """Pictures by source that are neither trained on nor measured with."""
    return {
        "metal": mixture.metal.validation,
        "surface": tuple(generate(np.random.default_rng(FIRST_SEED + number)) for number in range(COUNT)),
        "board": mixture.boards.validation.fixed(COUNT, FIRST_SEED),
        "screw": mixture.screws.validation.fixed(COUNT, FIRST_SEED),
    }


@torch.no_grad()
def validate(network: ErnieVL, maker: ExampleMaker, mixture: Mixture) -> dict[str, float]:
    """Share of each source's pictures whose likeliest first token of an answer is that of the right class.

    Quick, since the classes of a source differ in their first token.
    """
    return {
        name: sum(_right(network, maker, sample) for sample in samples) / len(samples)
        for name, samples in validation_sets(mixture).items()
    }


def _right(network: ErnieVL, maker: ExampleMaker, sample: Sample) -> bool:
    example = maker.make(sample, thinking=False)
    prompt = example.token_ids[: int((example.weights == 0).sum())]
    logits = network(prompt, example.patches, torch.tensor([example.grid]))[-1]
    firsts = [maker.tokenizer.encode(name, add_special_tokens=False).ids[0] for name in sample.classes]
    return sample.classes[int(logits[firsts].argmax())] == sample.label
