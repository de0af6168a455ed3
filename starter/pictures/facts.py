"""What is known about each part and each kind of defect: the trade's knowledge that reports are made of."""

from dataclasses import dataclass

from starter.pictures.samples import GOOD

SURFACE_PART = "machined surface"
SURFACE_CLASSES = (GOOD, "scratch", "dent", "pit", "stain", "crack", "weld spatter", "missing part")
METAL_PART = "turned metal surface"
METAL_CLASSES = (GOOD, "damaged")
BOARD_PART = "printed board"
BOARD_CLASSES = (GOOD, "open", "short", "mousebite", "spur", "copper", "pin hole")
SCREW_PART = "ball screw"
SCREW_CLASSES = (GOOD, "pitting")


@dataclass(frozen=True)
class Fact:
    """What a kind of defect looks like, how bad it is, where it comes from and what to do."""

    severity: str
    look: str
    evidence: tuple[str, ...]
    causes: tuple[tuple[str, str], ...]
    containment: str
    actions: tuple[str, ...]


HOLD = "hold the part and check the lot"
STOP = "stop the lot and scrap the part"

FACTS: dict[str, Fact] = {
    GOOD: Fact(
        "none",
        "no deviation",
        ("even texture", "no deviation"),
        (("none", "cannot tell"),),
        "none",
        ("none",),
    ),
    "scratch": Fact(
        "minor",
        "a thin straight line",
        ("thin straight line", "sharp edge"),
        (("contact with a hard edge", "high"), ("chips in the fixture", "medium")),
        HOLD,
        ("pad the handling points", "clean the fixture"),
    ),
    "dent": Fact(
        "major",
        "a round hollow, one side dark and one side bright",
        ("round hollow", "one side dark, one side bright"),
        (("impact in handling", "high"), ("parts fell on each other", "medium")),
        HOLD,
        ("separate the parts in transport", "check the gripper force"),
    ),
    "pit": Fact(
        "major",
        "small dark holes",
        ("small dark holes", "sharp rim"),
        (("corrosion", "medium"), ("porosity of the casting", "medium")),
        HOLD,
        ("check the corrosion protection", "check the casting process"),
    ),
    "stain": Fact(
        "minor",
        "a patch of another colour with soft edges",
        ("patch of another colour", "texture shows through"),
        (("coolant or oil left to dry", "high"), ("washing not complete", "medium")),
        "wash the part and look again",
        ("check the washing bath", "dry the parts sooner"),
    ),
    "crack": Fact(
        "critical",
        "a dark jagged line with branches",
        ("dark jagged line", "branches"),
        (("fatigue or overload", "medium"), ("heat treatment stress", "medium")),
        STOP,
        ("check the heat treatment", "test the lot for cracks"),
    ),
    "weld spatter": Fact(
        "minor",
        "small bright beads with a dark foot",
        ("small bright beads", "dark foot"),
        (("weld current too high", "high"), ("no spatter protection", "medium")),
        "remove the beads and look again",
        ("check the weld settings", "use spatter protection"),
    ),
    "missing part": Fact(
        "critical",
        "a gap in a regular pattern",
        ("gap in a regular pattern", "all others present"),
        (("assembly step left out", "high"), ("feeder empty", "medium")),
        STOP,
        ("check the assembly station", "add a presence sensor"),
    ),
    "damaged": Fact(
        "major",
        "a mark that breaks the grooves",
        ("mark across the grooves", "texture interrupted"),
        (("contact with a hard edge", "medium"), ("chips pressed into the surface", "medium")),
        HOLD,
        ("check the handling", "flush the chips away"),
    ),
    "open": Fact(
        "critical",
        "a conductor that is interrupted",
        ("conductor interrupted", "gap between two ends"),
        (("etched too long", "medium"), ("dirt on the mask", "medium")),
        STOP,
        ("check the etching time", "clean the mask"),
    ),
    "short": Fact(
        "critical",
        "a bridge between two conductors",
        ("bridge between conductors", "no gap left"),
        (("etched too little", "medium"), ("defect in the mask", "medium")),
        STOP,
        ("check the etching time", "check the mask"),
    ),
    "mousebite": Fact(
        "major",
        "a bite out of the edge of a conductor",
        ("bite out of the edge", "conductor too thin"),
        (("etched too long", "medium"), ("dirt on the mask", "medium")),
        HOLD,
        ("check the etching time", "clean the mask"),
    ),
    "spur": Fact(
        "minor",
        "a thorn on the edge of a conductor",
        ("thorn on the edge", "space too small"),
        (("etched too little", "medium"), ("defect in the mask", "medium")),
        HOLD,
        ("check the etching time", "check the mask"),
    ),
    "copper": Fact(
        "major",
        "an island of copper that should not be there",
        ("island of copper", "no connection"),
        (("etched too little", "medium"), ("dirt on the mask", "medium")),
        HOLD,
        ("check the etching time", "clean the mask"),
    ),
    "pin hole": Fact(
        "minor",
        "a small hole in the copper",
        ("small hole in the copper", "edges intact"),
        (("dirt on the mask", "high"), ("air in the resist", "medium")),
        HOLD,
        ("clean the mask", "check the resist"),
    ),
    "pitting": Fact(
        "major",
        "broken out spots in the running track",
        ("broken out spots", "rough track"),
        (("rolling fatigue", "high"), ("poor lubrication", "medium")),
        "plan to replace the screw",
        ("check the lubrication", "check the preload"),
    ),
}
"""By wording; each class that a sample can carry as its label has an entry."""
