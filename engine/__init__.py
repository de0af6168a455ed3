"""The model and everything that makes it fast: `Engine` scores choices and writes reports."""

import importlib
from typing import TYPE_CHECKING, Any

import engine.process  # noqa: F401 - before torch is loaded
from engine.errors import (
    CacheCorrupt,
    CheckpointInvalid,
    ComputationFailed,
    ConfigInvalid,
    DeadlinePassed,
    DeviceUnavailable,
    EngineClosed,
    EngineError,
    ImageInvalid,
    OutOfMemory,
    PromptInvalid,
    PromptTooLong,
    TaughtPartInvalid,
    TeachingInvalid,
)
from engine.serving.device import resolve_device
from engine.serving.engine import Engine
from engine.serving.requests import (
    Capacity,
    Completion,
    EngineConfig,
    EngineInfo,
    EngineStats,
    Image,
    Priority,
    PriorityStats,
    Prompt,
    Sampling,
    Scores,
    Timings,
)

if TYPE_CHECKING:
    from engine.tuning import (
        ANOMALY,
        LabelledPicture,
        Opinion,
        TaughtPart,
        TeachOptions,
        digest_of,
        load_part,
        save_part,
        teach,
    )

__all__ = [
    "ANOMALY",
    "CacheCorrupt",
    "Capacity",
    "CheckpointInvalid",
    "Completion",
    "ComputationFailed",
    "ConfigInvalid",
    "DeadlinePassed",
    "DeviceUnavailable",
    "Engine",
    "EngineClosed",
    "EngineConfig",
    "EngineError",
    "EngineInfo",
    "EngineStats",
    "Image",
    "ImageInvalid",
    "LabelledPicture",
    "Opinion",
    "OutOfMemory",
    "Priority",
    "PriorityStats",
    "Prompt",
    "PromptInvalid",
    "PromptTooLong",
    "Sampling",
    "Scores",
    "TaughtPart",
    "TaughtPartInvalid",
    "TeachOptions",
    "TeachingInvalid",
    "Timings",
    "digest_of",
    "load_part",
    "resolve_device",
    "save_part",
    "teach",
]

_TUNING = {
    "ANOMALY",
    "LabelledPicture",
    "Opinion",
    "TaughtPart",
    "TeachOptions",
    "digest_of",
    "load_part",
    "save_part",
    "teach",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module holds
    """What teaches and judges a plant's own parts is loaded with its libraries when it is first asked for."""
    if name in _TUNING:
        return getattr(importlib.import_module("engine.tuning"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
