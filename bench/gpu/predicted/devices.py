"""What four GPUs can do at most, by their maker's pages, and how long a kernel's work takes them at least."""

from dataclasses import dataclass, field

ISSUED = 128
"""Instructions that a multiprocessor starts in a clock, counted by lane: four warps of 32 (all four GPUs)."""

INTEGER = 64
"""Additions, shifts, logic and comparisons in a clock, by lane, and as many multiplications and dot products.

CUDA C++ Programming Guide, arithmetic throughput, compute capability 8.0, 8.9 and 9.0. That the two kinds run
side by side is what public microbenchmarks of these generations report.
"""


@dataclass(frozen=True)
class Device:
    """Peak figures without sparsity: GB/s, 10^12 int8 and bf16 operations a second, GHz, GB."""

    name: str
    architecture: str
    multiprocessors: int
    clock: float
    memory: int
    bandwidth: float
    int8: float
    bf16: float
    source: str


DEVICES = (
    Device(
        "L4",
        "sm_89",
        58,
        2.04,
        24,
        300,
        242,
        121,
        "NVIDIA L4 data sheet (halved: it counts sparsity); multiprocessors from 242 TOPS at 2.04 GHz",
    ),
    Device("RTX 4090", "sm_89", 128, 2.52, 24, 1008, 661, 165, "NVIDIA Ada GPU architecture, appendix A"),
    Device(
        "A100 80 GB SXM", "sm_80", 108, 1.41, 80, 2039, 624, 312, "NVIDIA A100 architecture and data sheet"
    ),
    Device("H100 SXM", "sm_90", 132, 1.83, 80, 3352, 1979, 989, "NVIDIA H100 architecture, table 2"),
)


@dataclass(frozen=True)
class Work:
    """What a kernel has to do, whatever it runs on.

    Bytes to and from memory, each once; int8 operations of the tensor cores, a multiplication and an addition
    being two; and instructions by lane: `integer` for additions, shifts and logic, `multiply` for
    multiplications and dot products of four bytes, `others` for what is only issued.
    """

    bytes: float = 0.0
    tensor: float = 0.0
    integer: float = 0.0
    multiply: float = 0.0
    others: float = 0.0

    @property
    def instructions(self) -> float:
        """All instructions by lane, without those of the tensor cores."""
        return self.integer + self.multiply + self.others

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.bytes + other.bytes,
            self.tensor + other.tensor,
            self.integer + other.integer,
            self.multiply + other.multiply,
            self.others + other.others,
        )

    def __mul__(self, times: float) -> "Work":
        return Work(
            self.bytes * times,
            self.tensor * times,
            self.integer * times,
            self.multiply * times,
            self.others * times,
        )


@dataclass(frozen=True)
class Floor:
    """The least time in seconds, and which limit sets it."""

    seconds: float
    limit: str = field(compare=False)

    @staticmethod
    def of(work: Work, device: Device) -> "Floor":
        """Of all limits at once: what one of them leaves free is taken to be hidden behind it."""
        lanes = device.multiprocessors * device.clock * 1e9
        limits = {
            "memory": work.bytes / device.bandwidth / 1e9,
            "tensor cores": work.tensor / device.int8 / 1e12,
            "integer units": max(work.integer, work.multiply) / INTEGER / lanes,
            "issue": work.instructions / ISSUED / lanes,
        }
        slowest = max(limits, key=lambda name: limits[name])
        return Floor(limits[slowest], slowest)
