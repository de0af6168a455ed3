"""The engine's errors; each says what is wrong and how to fix it.

EngineError
├── ImageInvalid        pixels that cannot be an image of this model
├── PromptInvalid       a prompt or sampling option that cannot be served
│   └── PromptTooLong   more tokens than the context holds
├── DeadlinePassed      the request was late before any work was spent on it
├── CheckpointInvalid   files that do not make this network
├── CheckpointUnwritten a checkpoint that could not be written where it was to go
├── ConfigInvalid       a setting of the engine that no device could follow
├── DeviceUnavailable   the asked-for device is not there
├── KernelUncompiled    the CUDA compiler refused a kernel
├── ComputationFailed   the network's output is not numbers
├── OutOfMemory         the device has no room for the request
├── CacheCorrupt        the engine's own records of its memory contradict each other
├── TeachingInvalid     pictures or options from which a part cannot be taught
├── TaughtPartInvalid   files that do not hold a taught part
└── EngineClosed        the engine takes no more requests
"""


class EngineError(Exception):
    """Base of everything the engine raises; `code` is stable, `hint` tells a person what to do."""

    code = "engine_error"

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(f"{detail} ({hint})")
        self.detail = detail
        self.hint = hint


class ImageInvalid(EngineError):
    """The pixels are not a uint8 RGB array of a shape the model takes."""

    code = "image_invalid"


class PromptInvalid(EngineError):
    """The prompt, the choices or a sampling option cannot be served."""

    code = "prompt_invalid"


class PromptTooLong(PromptInvalid):
    """The prompt and what is to be generated exceed the context."""

    code = "prompt_too_long"


class DeadlinePassed(EngineError):
    """The deadline had passed before any work was spent on the request."""

    code = "deadline_passed"


class CheckpointInvalid(EngineError):
    """The checkpoint's files are missing, damaged, or do not fit the network they describe."""

    code = "checkpoint_invalid"


class CheckpointUnwritten(EngineError):
    """A checkpoint could not be written: no room, no permission, or something else is in its place."""

    code = "checkpoint_unwritten"


class ConfigInvalid(EngineError):
    """A setting of the engine is out of range."""

    code = "config_invalid"


class DeviceUnavailable(EngineError):
    """The device that was asked for cannot be used."""

    code = "device_unavailable"


class KernelUncompiled(EngineError):
    """A CUDA kernel could not be compiled; `detail` ends with the compiler's log."""

    code = "kernel_uncompiled"


class ComputationFailed(EngineError):
    """The network computed something that is not a number."""

    code = "computation_failed"


class OutOfMemory(EngineError):
    """The device ran out of memory on this request."""

    code = "out_of_memory"


class CacheCorrupt(EngineError):
    """Blocks of the cache are counted wrongly: a defect of the engine, which must not go on."""

    code = "cache_corrupt"


class TeachingInvalid(EngineError):
    """The pictures or the options are not such that a part can be taught from them."""

    code = "teaching_invalid"


class TaughtPartInvalid(EngineError):
    """The files of a taught part are missing, damaged, or of a version that this engine does not read."""

    code = "taught_part_invalid"


class EngineClosed(EngineError):
    """The engine is closing or has failed, and takes no more requests."""

    code = "engine_closed"
