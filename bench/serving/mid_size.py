"""A model between the starter and the 28B one, for measuring: random 2-bit experts, the starter's tokenizer.

    python -m bench.serving.mid_size DIRECTORY

Random codes, every byte a valid one, as in `bench.full_size.layout`: nothing was trained or compressed, so
its answers mean nothing and its speed is that of real weights. Sizes keep the proportions of the 28B model
where they can; the routed experts have 616 million weights in 2 bits, all else has 4 or 8.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from bench.full_size import layout as full_size_layout
from bench.host import ROOT, print_host
from engine.checkpoint.files import read_json
from engine.checkpoint.tensors import MANIFEST

STARTER = ROOT / "models" / "starter"
WORDS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
"""The files of the starter that say how text becomes tokens."""

TEXT = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0, "mrope_section": [22, 22, 20]},
    "mlp_layer_types": ["dense"] + ["sparse"] * 7,
    "moe_intermediate_size": [640, 256],
    "moe_num_experts": 32,
    "moe_k": 4,
    "moe_num_shared_experts": 2,
}
VISION = {"depth": 9, "hidden_size": 512, "num_heads": 8, "intermediate_size": 2048}
LARGEST_AREA = 224 * 224
"""Pixels of an image as the model sees it: 64 tokens."""


def config() -> dict[str, Any]:
    """The starter's configuration with larger sizes."""
    starter = read_json(STARTER / "config.json")
    text, vision = starter["text_config"] | TEXT, starter["vision_config"] | VISION
    return starter | {"text_config": text, "vision_config": vision}


def write(directory: Path) -> Path:
    """Write the whole checkpoint (200 MB), unless it is there already."""
    if (directory / MANIFEST).exists():
        return directory
    full_size_layout.write(directory, config())
    for name in WORDS:
        shutil.copyfile(STARTER / name, directory / name)
    images = read_json(STARTER / "preprocessor_config.json") | {"max_pixels": LARGEST_AREA}
    (directory / "preprocessor_config.json").write_text(json.dumps(images), encoding="utf-8")
    return directory


def main() -> None:
    """Write it where the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    print_host()
    write(parser.parse_args().directory)


if __name__ == "__main__":
    main()
