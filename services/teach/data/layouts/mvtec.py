"""MVTec AD: `train/good`, `test/<defect>` and `ground_truth/<defect>/*_mask.png` (Bergmann et al. 2019)."""

from dataclasses import replace

from services.teach.data.layouts import class_folders
from services.teach.data.pictures import Dataset, Finding, Level, is_good, same_name
from services.teach.data.tree import Tree

NAME = "MVTec AD"


def fits(tree: Tree) -> bool:
    """Whether there is a ground_truth folder beside train and test."""
    tops = {tree.folders(path)[0].lower() for path in tree.files if tree.folders(path)}
    return {"train", "test", "ground_truth"} <= tops


def read(tree: Tree) -> Dataset:
    """The class folders with their masks; a defect without a mask and a mask without a picture are named."""
    dataset = class_folders.read(tree)
    masked = {each.mask for each in dataset.pictures}
    findings = [
        Finding(
            Level.NOTE,
            "picture-without-mask",
            "has no mask",
            "add one to measure where defects are",
            each.path,
        )
        for each in dataset.pictures
        if each.mask is None and not is_good(each.label) and each.split != "train"
    ]
    findings += [
        Finding(
            Level.ERROR,
            "label-without-picture",
            f"a mask for {same_name(mask.stem)!r}, and no such picture",
            "add the picture, or take the mask out",
            mask,
        )
        for mask in tree.masks.values()
        if mask not in masked
    ]
    return replace(dataset, layout=NAME, findings=(*dataset.findings, *findings))
