"""The whole network: image patches and token ids in, logits out.

T tokens, N patches, M image tokens, V vocabulary
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.checkpoint.config import ModelConfig
from engine.model.cache import AttentionLayout
from engine.model.decoder import Decoder
from engine.model.resampler import Resampler
from engine.model.rope import Grid, text_positions
from engine.model.vision import VisionTower


class ErnieVL(nn.Module):
    """ERNIE-4.5-VL: vision tower, resampler, decoder, and a head that may share the embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionTower(config.vision)
        self.resampler_model = Resampler(config.vision, config.text)
        self.decoder = Decoder(config)
        self.lm_head = (
            None
            if config.text.tie_word_embeddings
            else nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)
        )

        self.weight_count = sum(parameter.numel() for parameter in self.parameters())
        """Weights, however few bits each is later kept in."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.decoder.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in; weights may be kept in less."""
        return self.decoder.norm.weight.dtype

    def forward(self, token_ids: Tensor, patches: Tensor | None, grids: Tensor | None) -> Tensor:
        """The whole computation on a prompt: ids `[T]`, patches `[N, 588]`, grids `[n, 3]` -> `[T, V]`."""
        sizes: list[Grid] = [] if grids is None else [(t, h, w) for t, h, w in grids.tolist()]
        positions, _ = text_positions(token_ids.tolist(), sizes, self.config)
        images = None if patches is None else self.see(patches, sizes)
        layout = AttentionLayout.causal([len(token_ids)])
        hidden = self.hidden_states(token_ids, positions.to(token_ids.device), images, layout)
        return self.logits(hidden)

    def see(self, patches: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Image tokens `[M, hidden]` for patches `[N, 588]` of all images, in their order."""
        out: Tensor = self.resampler_model(self.vision_model(patches.to(self.dtype), grids))
        return out

    def hidden_states(
        self, token_ids: Tensor, positions: Tensor, images: Tensor | None, layout: AttentionLayout
    ) -> Tensor:
        """Hidden states `[T, hidden]` of packed sequences; `images` `[M, hidden]` replace placeholders."""
        x = self.decoder.embed_tokens(token_ids).to(self.dtype)
        if images is not None:
            places = (token_ids == self.config.image_token_id).nonzero()[:, 0]
            assert len(places) == len(images), f"{len(places)} placeholders for {len(images)} image tokens"
            x = x.index_copy(0, places, images.to(x.dtype))
        out: Tensor = self.decoder(x, positions, layout, self._vision_tokens(token_ids))
        return out

    def decode(self, token_ids: Tensor, positions: Tensor, layout: AttentionLayout) -> Tensor:
        """Logits `[n, V]` behind one more token of each of n texts, ids `[n]` at `positions` `[n]`.

        A decoded token is never an image's, so the shapes of the pass depend on the layout alone.
        """
        x = self.decoder.embed_tokens(token_ids).to(self.dtype)
        no_vision = torch.empty(0, dtype=torch.long, device=x.device)
        return self.logits(self.decoder(x, positions.expand(3, -1), layout, no_vision))

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states `[t, hidden]` -> logits `[t, V]`."""
        return self.decoder.embed_tokens.project(hidden) if self.lm_head is None else self.lm_head(hidden)

    def _vision_tokens(self, token_ids: Tensor) -> Tensor:
        """Indices of the tokens that the vision experts serve: placeholders, image start and image end."""
        special_tokens = torch.tensor(self.config.image_special_ids, device=token_ids.device)
        return torch.isin(token_ids, special_tokens).nonzero()[:, 0]
