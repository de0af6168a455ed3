"""The table of token embeddings, which may serve as the head as well."""

from torch import Tensor, nn
from torch.nn.functional import linear


class Embedding(nn.Embedding):
    """Looks tokens up, and where the head is tied, compares hidden states with them."""

    def project(self, hidden: Tensor) -> Tensor:
        """Logits `[t, V]` of hidden states `[t, hidden]`."""
        return linear(hidden, self.weight)
