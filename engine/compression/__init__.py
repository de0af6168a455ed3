"""From a released checkpoint to our own layout: experts in 2 bits, the rest in 8 or 4."""

from engine.compression.calibration import Example
from engine.compression.compress import compress
from engine.compression.plan import Options
from engine.compression.progress import CompressionProgress, OnProgress
from engine.compression.report import REPORT, Totals

__all__ = ["REPORT", "CompressionProgress", "Example", "OnProgress", "Options", "Totals", "compress"]
