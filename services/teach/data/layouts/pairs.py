"""Golden pairs: `ID_test` beside its aligned template `ID_temp`, with boxes in `ID.txt` (DeepPCB)."""

from pathlib import Path

from services.teach.data.pictures import Box, Dataset, Finding, Level, Picture, main_label, same_name
from services.teach.data.text import read_text
from services.teach.data.tree import Tree, without_picture

NAME = "golden pairs"
TESTED, TEMPLATE = "_test", "_temp"
KINDS = {1: "open", 2: "short", 3: "mousebite", 4: "spur", 5: "copper", 6: "pin-hole"}
"""The kinds of DeepPCB by number."""


def fits(tree: Tree) -> bool:
    """Whether some picture has a template beside it."""
    stems = {str(path.with_suffix("")) for path in tree.pictures}
    return any(stem.endswith(TESTED) and stem.removesuffix(TESTED) + TEMPLATE in stems for stem in stems)


def read(tree: Tree) -> Dataset:
    """Each tested picture with its template; the templates themselves are good pictures."""
    by_stem = {str(path.with_suffix("")): path for path in tree.pictures}
    pictures: list[Picture] = []
    findings: list[Finding] = []
    for stem, path in by_stem.items():
        base = stem.removesuffix(TESTED).removesuffix(TEMPLATE)
        group, golden = f"part {same_name(Path(base).name)}", by_stem.get(base + TEMPLATE)
        if stem.endswith(TEMPLATE):
            pictures.append(Picture(path, "good", tree.split(path), group, path))
        elif stem.endswith(TESTED):
            boxes, wrong = _boxes(Path(f"{base}.txt"))
            findings += wrong
            if golden is None:
                findings.append(_without_template(path))
            if not wrong:
                pictures.append(
                    Picture(path, main_label(boxes), tree.split(path), group, golden, boxes=boxes)
                )
    for path in tree.with_suffix(".txt"):
        if str(path.with_suffix("")) + TESTED not in by_stem and path.stem.isdigit():
            findings.append(without_picture(path.stem + TESTED, path, None))
    templates = sum(stem.endswith(TEMPLATE) for stem in by_stem)
    detail = f"{templates} templates stand for good parts, and each is its own template"
    hint = "add pictures of real good parts beside their templates: a template differs from itself in nothing"
    findings.append(Finding(Level.WARNING, "template-as-good", detail, hint))
    return Dataset(tree.root, NAME, tuple(pictures), tuple(findings))


def _boxes(path: Path) -> tuple[tuple[Box, ...], list[Finding]]:
    if not path.is_file():
        detail = "the tested picture has no list of defects"
        hint = "add it, empty for a good one"
        return (), [Finding(Level.WARNING, "picture-without-label", detail, hint, path)]
    text, findings = read_text(path)
    boxes = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(",", " ").split()
        try:
            left, top, right, bottom, kind = (int(word) for word in words)
            boxes.append(Box(KINDS[kind], left, top, right, bottom))
        except (ValueError, KeyError):
            hint = "write `left top right bottom kind`, the kind from 1 to 6"
            findings.append(
                Finding(Level.ERROR, "label-unreadable", f"{line!r} is no defect", hint, path, number)
            )
    return tuple(boxes), findings


def _without_template(path: Path) -> Finding:
    detail, hint = "has no aligned template", "add it, or judge without"
    return Finding(Level.WARNING, "picture-without-template", detail, hint, path)
