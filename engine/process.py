"""What speed on a processor asks of the process; imported before torch, which looks only once."""

import ctypes
import mmap
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_FROM_HEAP = 32 << 20
KEPT_ON_HEAP = 1 << 30
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of mallopt(3)."""
MADV_POPULATE_READ = 22
"""A name of madvise(2), since Linux 5.14."""

# How often threads look for work before they sleep: for about as long as a layer takes between two calls.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")


def keep_memory() -> None:
    """Let freed memory stay with the process, so that a pass does not fault its pages in once more.

    Only the GNU C library gives and takes every large block anew; others are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_FROM_HEAP)
        mallopt(M_TRIM_THRESHOLD, KEPT_ON_HEAP)


def bring_in(tensor: "Tensor") -> None:
    """Map all pages of a tensor that a file backs, so that the first pass does not wait for them.

    An older kernel declines, and then the pages come one by one, as they are touched.
    """
    first = tensor.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
    length = tensor.data_ptr() + tensor.nbytes - first
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is not None and tensor.nbytes > 0:
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), MADV_POPULATE_READ)
