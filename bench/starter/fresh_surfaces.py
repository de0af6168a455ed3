"""How the starter classifies synthetic surfaces that neither chose it nor anything about its training.

    python -m bench.starter.fresh_surfaces [--checkpoint models/starter] [--pictures 1000]

The seeds are beyond those of training and of the held-out pictures.
"""

import argparse
from pathlib import Path

import numpy as np

from bench.host import print_host
from engine import Engine, EngineConfig
from starter.evaluate import class_figures, likeliest, score
from starter.surfaces.surfaces import generate

FIRST_SEED = 2_000_000_000


def main() -> None:
    """Classify and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("models/starter"))
    parser.add_argument("--pictures", type=int, default=1000)
    arguments = parser.parse_args()
    print_host()
    pictures = [generate(np.random.default_rng(FIRST_SEED + number)) for number in range(arguments.pictures)]
    with Engine(EngineConfig(checkpoint=arguments.checkpoint, device="cpu")) as engine:
        figures = class_figures(pictures, likeliest(pictures, score(engine, pictures)))
    print(f"{figures.pictures} pictures: {figures.balanced_accuracy:.1%} balanced accuracy")
    print(f"escapes {figures.escapes:.1%}, overkill {figures.overkill:.1%}")
    for truth, answers in sorted(figures.confusion.items()):
        print(f"{truth:14}{answers.get(truth, 0) / sum(answers.values()):6.1%}")


if __name__ == "__main__":
    main()
