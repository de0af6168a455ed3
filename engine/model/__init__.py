"""The network, one file per idea; plain torch, readable top to bottom."""

from engine.model.loading import load
from engine.model.network import ErnieVL

__all__ = ["ErnieVL", "load"]
