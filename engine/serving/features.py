"""What the vision tower saw in images, kept by the images' digests."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.model.network import ErnieVL
from engine.serving.prompts import PromptImage


class Features:
    """Sees each image once, as long as its features `[M, hidden]` fit into `budget` bytes.

    The longest unused go first. Filled by the engine's thread; others may ask what is there.
    """

    def __init__(self, network: ErnieVL, budget: int) -> None:
        self.seen = 0
        self.reused = 0
        self._network = network
        self._budget = self._capacity = budget
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()

    def touch(self, digest: bytes) -> bool:
        """Whether an image's features are there; one that is asked for stays longer. For any thread."""
        try:
            self._kept.move_to_end(digest)
        except KeyError:
            return False
        return True

    def of(self, images: Sequence[PromptImage]) -> dict[bytes, Tensor]:
        """The features of all these images; the new ones are seen in one call."""
        features = {}
        for image in images:
            if self.touch(image.digest):
                features[image.digest] = self._kept[image.digest]
        fresh = list({i.digest: i for i in images if i.digest not in features}.values())
        self.reused += len(images) - len(fresh)
        for image, seen in zip(fresh, self._see(fresh), strict=True):
            features[image.digest] = seen
            self._keep(image.digest, seen)
        self.seen += len(fresh)
        return features

    def _see(self, images: Sequence[PromptImage]) -> Sequence[Tensor]:
        if not images:
            return ()
        patches = torch.cat([image.patches for image in images]).to(self._network.device)
        seen = self._network.see(patches, [image.grid for image in images])
        return seen.split([image.tokens for image in images])

    def _keep(self, digest: bytes, features: Tensor) -> None:
        size = features.nbytes
        if size > self._budget or not torch.isfinite(features).all():
            return
        while size > self._capacity:
            self._capacity += self._kept.popitem(last=False)[1].nbytes
        # A copy: a part of a batch would hold the whole batch in memory.
        self._kept[digest] = features.clone()
        self._capacity -= size
