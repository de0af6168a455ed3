"""Thresholds with a promise: the true error rate passes the bound in at most one calibration of twenty."""

from services.teach.calibration.aims import Aims, parse_share
from services.teach.calibration.calibrate import Calibration, WhatIf, calibrate

__all__ = ["Aims", "Calibration", "WhatIf", "calibrate", "parse_share"]
