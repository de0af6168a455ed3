"""Pascal VOC: an XML file a picture with named boxes, and lists of the splits in ImageSets."""

from xml.etree.ElementTree import Element, ParseError, fromstring

from services.teach.data.pictures import Box, Dataset, Finding, Level, Picture, main_label, split_of
from services.teach.data.text import read_text
from services.teach.data.tree import Names, Tree, line_of, without_label, without_picture

NAME = "VOC"


def fits(tree: Tree) -> bool:
    """Whether some XML file is an annotation."""
    return any("<annotation" in read_text(path)[0][:2000] for path in tree.with_suffix(".xml")[:20])


def read(tree: Tree) -> Dataset:
    """Every picture that has an XML file, one without objects being good."""
    names, splits = Names(tree), _splits(tree)
    pictures: list[Picture] = []
    findings: list[Finding] = []
    for path in tree.with_suffix(".xml"):
        text, wrong = read_text(path)
        try:
            root = _parse(text)
            boxes = tuple(_box(each) for each in root.iter("object"))
        except (ParseError, ValueError) as error:
            line = error.position[0] if isinstance(error, ParseError) else line_of(text, "<bndbox")
            hint = "export the annotation again"
            findings.append(Finding(Level.ERROR, "label-unreadable", str(error), hint, path, line))
            # Its picture has a label, if a broken one.
            names.find(path.stem, path.parent)
            continue
        findings += wrong
        name = root.findtext("filename") or path.stem
        found = names.find(name, path.parent) or names.find(path.stem, path.parent)
        if found is None:
            findings.append(without_picture(name, path, line_of(text, "<filename")))
            continue
        place = (path, line_of(text, "<object"))
        split = splits.get(path.stem) or tree.split(found)
        pictures.append(Picture(found, main_label(boxes), split, boxes=boxes, place=place))
    findings += without_label(names.unused())
    return Dataset(tree.root, NAME, tuple(pictures), tuple(findings))


def _parse(text: str) -> Element:
    if "<!ENTITY" in text:
        raise ValueError("the file declares entities, which no annotation needs")
    return fromstring(text)  # noqa: S314 - entities are refused above, and expat loads nothing from outside


def _box(element: Element) -> Box:
    label = (element.findtext("name") or "").strip()
    corners = [element.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if not label or None in corners:
        raise ValueError("an object lacks its name or a side of its bndbox")
    left, top, right, bottom = (float(side or 0) for side in corners)
    if right < left or bottom < top:
        raise ValueError(f"the box of {label!r} ends before it begins")
    return Box(label, left, top, right, bottom)


def _splits(tree: Tree) -> dict[str, str]:
    """The split of each stem, from ImageSets/Main/train.txt and its like."""
    found: dict[str, str] = {}
    for path in tree.with_suffix(".txt"):
        split = split_of(path.stem)
        if split is not None:
            found |= {line.split()[0]: split for line in read_text(path)[0].splitlines() if line.strip()}
    return found
