"""The decoder: a stack of pre-norm layers, dense or mixture of experts."""

from torch import Tensor, nn

from engine.checkpoint.config import ModelConfig, TextConfig
from engine.model.attention import Attention
from engine.model.cache import AttentionLayout
from engine.model.embedding import Embedding
from engine.model.experts import MixtureOfExperts
from engine.model.mlp import SwiGLU
from engine.model.norm import RMSNorm
from engine.model.rope import text_rotation


class DecoderLayer(nn.Module):
    """Attention, then a dense or a mixture feed-forward network, each with a residual."""

    def __init__(self, config: TextConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp: MixtureOfExperts | SwiGLU = (
            MixtureOfExperts(config)
            if config.sparse_layers[layer]
            else SwiGLU(config.hidden_size, config.intermediate_size)
        )

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], layout: AttentionLayout, vision_tokens: Tensor
    ) -> Tensor:
        """`[T, hidden] -> [T, hidden]`."""
        x = x + self.self_attn(self.input_layernorm(x), rotation, layout)
        normed = self.post_attention_layernorm(x)
        if isinstance(self.mlp, SwiGLU):
            return x + self.mlp(normed)
        return x + self.mlp(normed, vision_tokens)


class Decoder(nn.Module):
    """All layers and the final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        text = config.text
        self.embed_tokens = Embedding(text.vocab_size, text.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(text, i) for i in range(text.num_layers))
        self.norm = RMSNorm(text.hidden_size, text.rms_norm_eps)

    def forward(self, x: Tensor, positions: Tensor, layout: AttentionLayout, vision_tokens: Tensor) -> Tensor:
        """Embedded tokens `[T, hidden]` of packed sequences at positions `[3, T]` -> states `[T, hidden]`."""
        rotation = text_rotation(positions, self.config)
        for layer in self.layers:
            x = layer(x, rotation, layout, vision_tokens)
        out: Tensor = self.norm(x)
        return out
