"""An eye that keeps what it saw on disk, so that seeds and trials cost no second look."""

import hashlib
from pathlib import Path

import torch

from engine.tuning.eye import Eye, Sight, shrunk_counts
from engine.tuning.pictures import View


class RememberingEye(Eye):
    """An eye whose maps are kept in a folder under a digest of the pixels."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name)
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)

    def see(self, view: View) -> Sight:
        """The maps of one view, from the folder if it was seen before."""
        path = self.folder / f"{_key(view)}.pt"
        if path.exists():
            maps = torch.load(path, weights_only=True)
            return Sight(tuple(each.float() for each in maps), shrunk_counts(view))
        sight = super().see(view)
        torch.save([each.to(self.dtype) for each in sight.maps], path)
        return sight

    def pooled(self, view: View) -> torch.Tensor:
        """The pooled features of one view; the maps are not kept, they would fill the disk."""
        path = self.folder / f"{_key(view)}.pooled.pt"
        if path.exists():
            kept: torch.Tensor = torch.load(path, weights_only=True)
            return kept
        found = super().see(view).pooled()
        torch.save(found, path)
        return found


def _key(view: View) -> str:
    shape = str(view.pixels.shape).encode()
    return hashlib.sha256(view.pixels.tobytes() + view.counts.tobytes() + shape).hexdigest()[:32]
