"""What speed on a processor asks of the process; imported before torch, which looks only once."""

import ctypes
import os

LARGEST_FROM_HEAP = 32 << 20
KEPT_ON_HEAP = 1 << 30
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of mallopt(3)."""

# Between two of torch's parallel operations its threads would spin, on the cores that our kernels need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def keep_memory() -> None:
    """Let freed memory stay with the process, so that a pass does not fault its pages in once more.

    Only the GNU C library gives and takes every large block anew; others are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_FROM_HEAP)
        mallopt(M_TRIM_THRESHOLD, KEPT_ON_HEAP)
