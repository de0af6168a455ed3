"""The model and everything that makes it fast: `Engine` scores choices and writes reports."""

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

__all__ = [
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
    "OutOfMemory",
    "Priority",
    "PriorityStats",
    "Prompt",
    "PromptInvalid",
    "PromptTooLong",
    "Sampling",
    "Scores",
    "Timings",
    "resolve_device",
]
