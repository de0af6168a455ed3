"""What the pictures of a folder tell beside each other: copies, torn groups, small classes, mixed sizes."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.teach.data.pictures import Finding, Level, Picture, is_good

FEWEST = 5
"""Pictures of a class below which it can hardly be learned."""

MANY_SIZES = 5
LONG_SIDE_RATIO = 4.0


def of_copies(
    root: Path, pictures: Sequence[Picture], exact: Sequence[Sequence[int]], near: Sequence[Sequence[int]]
) -> Iterator[Finding]:
    """A copy across splits or under another label, each named; other copies are notes."""
    for sets, word in ((exact, "the same file as"), (near, "a near copy of")):
        for same in sets:
            first = next((index for index in same if pictures[index].split == "train"), same[0])
            for index in same:
                if index != first and not _is_pair(pictures[index], pictures[first]):
                    shown = f"{word} {pictures[first].path.relative_to(root)}"
                    yield _copy(pictures[index], pictures[first], shown, exact=sets is exact)


def _is_pair(one: Picture, other: Picture) -> bool:
    """A part and its aligned template look alike by design."""
    return one.golden == other.path or other.golden == one.path


def _copy(picture: Picture, first: Picture, shown: str, *, exact: bool) -> Finding:
    detail = f"is {shown}"
    if picture.label != first.label:
        level = Level.ERROR if exact else Level.WARNING
        hint = "decide which label is right, and take the other away"
        detail += f", under {picture.label!r} here and {first.label!r} there"
        return Finding(level, "copy-under-two-labels", detail, hint, picture.path)
    if picture.split != first.split:
        detail += f", in {picture.split or 'no split'} here and {first.split or 'no split'} there"
        hint = "figures from such a test are too good; take one of the two away"
        return Finding(Level.WARNING, "copy-across-splits", detail, hint, picture.path)
    hint = "nothing to do: copies stay on one side of a split"
    return Finding(Level.NOTE, "copy", detail, hint, picture.path)


def of_groups(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """Each group that stands in more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        if picture.group is not None and picture.split is not None:
            splits[picture.group].add(picture.split)
    for group, found in sorted(splits.items()):
        if len(found) > 1:
            detail = f"{group} stands in {' and '.join(sorted(found))}"
            hint = "keep all pictures of it in one split: figures are too good otherwise"
            yield Finding(Level.WARNING, "group-in-two-splits", detail, hint)


def of_classes(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """Classes too small to learn or to measure, and what is impossible with one kind alone."""
    counts = Counter(each.label for each in pictures)
    for label, count in sorted(counts.items()):
        if count < FEWEST:
            detail = f"class {label!r} has {count} picture{'s' if count > 1 else ''}"
            hint = f"add pictures: {FEWEST} can be learned from, 20 can be measured"
            yield Finding(Level.WARNING, "few-pictures", detail, hint)
    if not any(is_good(label) for label in counts):
        detail = f"no class is called good; there are {', '.join(sorted(counts)[:8])}"
        hint = "name the class of good parts good, ok or normal"
        yield Finding(Level.WARNING, "no-good-class", detail, hint)
    elif all(is_good(label) for label in counts):
        detail = "there are good parts only: overkill can be bounded, escapes cannot"
        yield Finding(Level.NOTE, "good-parts-only", detail, "add defective parts as they turn up")


def of_kinds(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """How many pictures show defects of several kinds."""
    several = sum(len({box.label for box in each.boxes}) > 1 for each in pictures)
    if several:
        detail = f"{several} pictures show several kinds; each counts as that of its largest area"
        yield Finding(Level.NOTE, "several-kinds", detail, "nothing to do")


def of_sizes(sizes: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    """Whether the pictures come from cameras that see differently."""
    counts = Counter(sizes)
    if len(counts) < 2:
        return
    areas = sorted(width * height for width, height in counts)
    if len(counts) >= MANY_SIZES or areas[-1] > LONG_SIDE_RATIO * areas[0]:
        largest, smallest = max(counts, key=lambda s: s[0] * s[1]), min(counts, key=lambda s: s[0] * s[1])
        detail = (
            f"{len(counts)} sizes, from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]} pixels"
        )
        hint = "pictures of one station should be of one size; crop them alike"
        yield Finding(Level.NOTE, "mixed-sizes", detail, hint)
