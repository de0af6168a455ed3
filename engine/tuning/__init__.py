"""What a plant teaches: a part from its labelled pictures, and the opinion on the next one."""

from engine.tuning.artefact import digest_of, load_part, save_part
from engine.tuning.part import ANOMALY, HeldOut, Opinion, Provenance, TaughtPart
from engine.tuning.pictures import LabelledPicture, Regions
from engine.tuning.teach import Progress, TeachOptions, teach

__all__ = [
    "ANOMALY",
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
