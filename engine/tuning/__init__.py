"""What a plant teaches: a part from its labelled pictures, and the opinion on the next one."""

from engine.tuning.artefact import digest_of, load_part, save_part
from engine.tuning.curve import Advice, CurvePoint
from engine.tuning.lesson import TeachOptions
from engine.tuning.part import ANOMALY, HeldOut, Opinion, Provenance, TaughtPart
from engine.tuning.pictures import LabelledPicture, Regions
from engine.tuning.teach import Progress, teach

__all__ = [
    "ANOMALY",
    "Advice",
    "CurvePoint",
    "HeldOut",
    "LabelledPicture",
    "Opinion",
    "Progress",
    "Provenance",
    "Regions",
    "TaughtPart",
    "TeachOptions",
    "digest_of",
    "load_part",
    "save_part",
    "teach",
]
