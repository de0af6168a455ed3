"""transformers' eager model on the same weights, one verdict at a time behind a queue.

It computes the prompt in fp32 and reads the next token, less than our exact score of whole answers asks for.
Words and pictures are prepared as ours are, on the thread that asks.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from shutil import copyfile

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine import Prompt
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.checkpoint.names import pieces_of, stack_name
from engine.checkpoint.tensors import MANIFEST, StoredTensors
from engine.model.loading import placed
from engine.model.network import ErnieVL
from engine.serving.prompts import EncodedPrompt, PromptEncoder

WEIGHTS = "model.safetensors"


class Eager:
    """The peer as a server: `score` may be called at any time, one thread answers in order."""

    def __init__(self, checkpoint: Path, plain: Path) -> None:
        """`plain` receives the checkpoint in fp32, in the released layout, unless it is there."""
        from transformers import Ernie4_5_VLMoeForConditionalGeneration

        write_plain(checkpoint, plain)
        self._model = Ernie4_5_VLMoeForConditionalGeneration.from_pretrained(
            plain, dtype=torch.float32, experts_implementation="eager"
        )
        self._config = ModelConfig.from_json(read_json(plain / "config.json"))
        self._encoder = PromptEncoder(plain, self._config, self._config.text.max_positions)
        self._thread = ThreadPoolExecutor(max_workers=1)

    def score(self, prompt: Prompt, choices: Sequence[str]) -> Future[tuple[float, ...]]:
        """The log-probability of each choice's first token."""
        encoded = self._encoder.encode(prompt, thinking=False, answer_tokens=1)
        firsts = [self._encoder.tokenizer.encode(choice)[0] for choice in choices]
        return self._thread.submit(self._compute, encoded, firsts)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    @torch.inference_mode()
    def _compute(self, encoded: EncodedPrompt, firsts: list[int]) -> tuple[float, ...]:
        ids = encoded.token_ids[None]
        out = self._model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=encoded.patches,
            image_grid_thw=torch.tensor(encoded.grids),
            mm_token_type_ids=(ids == self._config.image_token_id).int(),
            moe_mm_token_type_ids=torch.isin(ids, torch.tensor(self._config.image_special_ids)).int(),
            logits_to_keep=1,
            use_cache=False,
        )
        return tuple(out.logits[0, -1].log_softmax(-1)[firsts].tolist())


def write_plain(checkpoint: Path, plain: Path) -> None:
    """Decode a checkpoint of ours into fp32 weights of the released layout."""
    if (plain / WEIGHTS).exists():
        return
    plain.mkdir(parents=True, exist_ok=True)
    for path in checkpoint.glob("*.json"):
        if path.name != MANIFEST and not path.name.endswith(".index.json"):
            copyfile(path, plain / path.name)
    save_file(_released(checkpoint), plain / WEIGHTS, metadata={"format": "pt"})


def _released(checkpoint: Path) -> dict[str, Tensor]:
    stored, config = StoredTensors(checkpoint), ModelConfig.from_json(read_json(checkpoint / "config.json"))
    with torch.device("meta"):
        network = ErnieVL(config)
    tensors: dict[str, Tensor] = {}
    parameters = dict(network.named_parameters())
    for name, pieces in placed(network, stored.manifest).items():
        if stack_name(name) not in stored.manifest.formats:
            tensors |= {piece.key: stored.read(piece.key, piece.shape).float() for piece in pieces}
            continue
        experts = stored.read(pieces[0].key, pieces[0].shape)
        for piece in pieces_of(name, tuple(parameters[name].shape), config):
            tensors[piece.key] = experts[piece.place].contiguous()
    return tensors
