"""Looks through a folder of pictures and says all that a person should know before teaching from it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.teach.data.duplicates import exact_copies, near_copies
from services.teach.data.findings import of_classes, of_copies, of_groups, of_kinds, of_sizes
from services.teach.data.groups import grouping
from services.teach.data.look import SIDE, Look, ProgressCallback, look_at
from services.teach.data.pictures import Dataset, Finding, Level, Picture, is_good
from services.teach.data.recognise import read_folder
from services.teach.data.report import CheckReport, ClassCount, Copies, FindingRecord, Groups, SizeCount

MOST_SIZES = 20


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How a folder is to be read."""

    group_pattern: str | None = None
    unlabelled: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A folder after the check: what it holds, and which of its pictures can be used."""

    report: CheckReport
    dataset: Dataset
    """The usable pictures, copies of one picture in one group."""
    looks: tuple[Look, ...]
    """One for each picture of the dataset, in its order."""


def check_folder(
    root: Path, options: CheckOptions | None = None, progress: ProgressCallback | None = None
) -> CheckReport:
    """What a folder holds and what is wrong with it. Raises FolderInvalid when nothing can be read."""
    return checked(root, options or CheckOptions(), progress).report


def checked(root: Path, options: CheckOptions, progress: ProgressCallback | None = None) -> Checked:
    """The report and the pictures that can be used: readable, one label each, copies grouped together."""
    dataset = read_folder(root, options.group_pattern, options.unlabelled)
    looks = tuple(look_at([each.path for each in dataset.pictures], progress))
    return examined(dataset, looks)


def with_findings(report: CheckReport, root: Path, findings: Sequence[Finding]) -> CheckReport:
    """The report with more findings, the worst still first."""
    added = [_record(each, root) for each in findings]
    levels = [level.value for level in Level]
    merged = sorted((*report.findings, *added), key=lambda each: levels.index(each.level))
    return report.model_copy(update={"findings": tuple(merged)})


def examined(dataset: Dataset, looks: Sequence[Look]) -> Checked:
    """The same for pictures that have been looked at."""
    readable = [index for index, look in enumerate(looks) if look.thumbnail is not None]
    pictures = [dataset.pictures[index] for index in readable]
    seen = [looks[index] for index in readable]
    exact, near = _copies(seen)
    clashing = {index for each in exact for index in each if len({pictures[i].label for i in each}) > 1}
    findings = [
        *dataset.findings,
        *(finding for look in looks for finding in look.findings),
        *of_copies(dataset.root, pictures, exact, near),
        *of_groups(pictures),
        *of_classes(pictures),
        *of_kinds(pictures),
        *of_sizes([(look.width, look.height) for look in seen]),
    ]
    kept = [index for index in range(len(pictures)) if index not in clashing]
    grouped = _with_copies_together(pictures, [*exact, *near])
    usable = Dataset(dataset.root, dataset.layout, tuple(grouped[index] for index in kept))
    report = _report(dataset, pictures, seen, findings, _count(pictures, exact, near))
    return Checked(report, usable, tuple(seen[index] for index in kept))


def _copies(seen: Sequence[Look]) -> tuple[list[list[int]], list[list[int]]]:
    """Sets of exact copies, and of near ones among one picture of each exact set and all others."""
    exact = exact_copies([look.digest for look in seen])
    repeated = {index for each in exact for index in each[1:]}
    single = [index for index in range(len(seen)) if index not in repeated]
    thumbnails = [look.thumbnail for index in single if (look := seen[index]).thumbnail is not None]
    stacked = np.stack(thumbnails) if thumbnails else np.zeros((0, SIDE, SIDE), np.uint8)
    return exact, [[single[index] for index in each] for each in near_copies(stacked)]


def _with_copies_together(pictures: Sequence[Picture], sets: Sequence[Sequence[int]]) -> list[Picture]:
    """The pictures with one group for whatever is linked by a copy or by a group of its own."""
    parent = list(range(len(pictures)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    named: dict[str, int] = {}
    for index, picture in enumerate(pictures):
        if picture.group is not None:
            parent[root(index)] = root(named.setdefault(picture.group, index))
    for each in sets:
        for index in each[1:]:
            parent[root(index)] = root(each[0])
    roots = [root(index) for index in range(len(pictures))]
    names = {own: picture.group for own, picture in zip(roots, pictures, strict=True) if picture.group}
    return [
        Picture(
            each.path,
            each.label,
            each.split,
            names.get(own) or f"picture {own}",
            each.golden,
            each.mask,
            each.boxes,
            each.place,
        )
        for own, each in zip(roots, pictures, strict=True)
    ]


def _count(pictures: Sequence[Picture], exact: list[list[int]], near: list[list[int]]) -> Copies:
    def crossing(sets: list[list[int]]) -> int:
        """Pictures outside the training split that are a copy of one inside."""
        splits = [[pictures[index].split for index in each] for each in sets]
        return sum(len(each) - each.count("train") for each in splits if "train" in each)

    return Copies(
        exact_sets=len(exact),
        exact_pictures=sum(len(each) - 1 for each in exact),
        near_sets=len(near),
        near_pictures=sum(len(each) - 1 for each in near),
        across_splits=crossing(exact) + crossing(near),
    )


def _report(
    dataset: Dataset,
    pictures: Sequence[Picture],
    seen: Sequence[Look],
    findings: Sequence[Finding],
    copies: Copies,
) -> CheckReport:
    sizes = Counter((look.width, look.height) for look in seen)
    groups = grouping(pictures)
    return CheckReport(
        folder=str(dataset.root),
        layout=dataset.layout,
        pictures=len(dataset.pictures),
        readable=len(pictures),
        bytes=sum(look.size_bytes for look in seen),
        classes=tuple(_class_counts(pictures)),
        sizes=tuple(
            SizeCount(width=width, height=height, pictures=count)
            for (width, height), count in sizes.most_common(MOST_SIZES)
        ),
        groups=Groups(by=groups.by, count=groups.groups),
        copies=copies,
        findings=tuple(_record(each, dataset.root) for each in sorted(findings, key=_severity)),
    )


def _class_counts(pictures: Sequence[Picture]) -> Iterator[ClassCount]:
    labels = {each.label for each in pictures}
    for label in sorted(labels, key=lambda each: (not is_good(each), each)):
        splits = Counter(each.split or "no split" for each in pictures if each.label == label)
        yield ClassCount(
            label=label, good=is_good(label), pictures=splits.total(), splits=dict(sorted(splits.items()))
        )


def _severity(finding: Finding) -> int:
    return list(Level).index(finding.level)


def _record(finding: Finding, root: Path) -> FindingRecord:
    file = finding.file
    shown = None
    if file is not None:
        shown = str(file.relative_to(root) if file.is_relative_to(root) else file)
        shown = shown.encode("utf-8", "replace").decode()
    return FindingRecord(
        level=finding.level.value,
        code=finding.code,
        file=shown,
        line=finding.line,
        detail=finding.detail.encode("utf-8", "replace").decode(),
        hint=finding.hint,
    )
