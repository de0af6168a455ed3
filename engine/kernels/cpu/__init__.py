"""The CPU kernels, where they were built; without them the references run, and that is said once."""

import importlib.util
import logging

_log = logging.getLogger(__name__)


def available() -> bool:
    """Whether the compiled kernels can be used on this machine."""
    return _AVAILABLE


_AVAILABLE = importlib.util.find_spec("engine.kernels.cpu._native") is not None
if not _AVAILABLE:
    _log.warning("the CPU kernels are not built, so the slow references run: install with a C++ compiler")
