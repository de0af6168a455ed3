"""Folders of real pictures in every layout a plant may keep them in."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.cli.places import SAMPLES

Builder = Callable[[Path], None]


def pictures(count: int) -> list[Path]:
    """Sample pictures, each different from the others."""
    return sorted((SAMPLES / "surface").glob("*.png"))[:count]


def good_and_bad(root: Path) -> tuple[list[Path], list[Path]]:
    """Three good and three cracked pictures copied flat into `root/images`."""
    (root / "images").mkdir(parents=True)
    copied = [Path(shutil.copy(path, root / "images")) for path in pictures(6)]
    return copied[:3], copied[3:]


def class_folders(root: Path) -> None:
    """`train/good`, `train/crack` and the like under test."""
    for number, path in enumerate(pictures(6)):
        split = "train" if number < 4 else "test"
        target = root / split / ("good" if number % 2 else "crack")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def mvtec(root: Path) -> None:
    """The layout of MVTec AD with one mask a defect."""
    for number, path in enumerate(pictures(6)):
        folder = root / ("train/good" if number < 3 else "test/good" if number == 3 else "test/crack")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
        if number > 3:
            masks = root / "ground_truth" / "crack"
            masks.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(masks / f"{path.stem}_mask.png")


def coco(root: Path) -> None:
    """One JSON file; the good pictures are listed without annotations."""
    good, bad = good_and_bad(root)
    images = [{"id": number, "file_name": path.name} for number, path in enumerate([*good, *bad])]
    boxes = [{"id": n, "image_id": 3 + n, "category_id": 7, "bbox": [4, 4, 20, 20]} for n in range(3)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "crack"}]}
    (root / "annotations.json").write_text(json.dumps(content, indent=1))


def yolo(root: Path) -> None:
    """data.yaml with the names, and a text file a picture."""
    good, bad = good_and_bad(root)
    (root / "labels").mkdir()
    (root / "data.yaml").write_text("names: [dent, crack]\n")
    for path in good:
        (root / "labels" / f"{path.stem}.txt").write_text("")
    for path in bad:
        (root / "labels" / f"{path.stem}.txt").write_text("1 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.05 0.05\n")


def voc(root: Path) -> None:
    """An XML file a picture."""
    good, bad = good_and_bad(root)
    (root / "Annotations").mkdir()
    sides = "<xmin>4</xmin><ymin>4</ymin><xmax>24</xmax><ymax>24</ymax>"
    for path in [*good, *bad]:
        found = f"<object><name>crack</name><bndbox>{sides}</bndbox></object>" if path in bad else ""
        text = f"<annotation>\n<filename>{path.name}</filename>\n{found}\n</annotation>\n"
        (root / "Annotations" / f"{path.stem}.xml").write_text(text)


def labelme(root: Path) -> None:
    """A JSON file with polygons beside each picture."""
    good, bad = good_and_bad(root)
    for path in [*good, *bad]:
        shape = {"label": "crack", "points": [[4, 4], [24, 4], [24, 24]], "shape_type": "polygon"}
        content = {"version": "5", "shapes": [shape] if path in bad else [], "imagePath": path.name}
        path.with_suffix(".json").write_text(json.dumps(content))


def table(root: Path) -> None:
    """A CSV file with split and lot."""
    good, bad = good_and_bad(root)
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["File", "Label", "split", "lot"])
        for number, path in enumerate([*good, *bad]):
            label = "crack" if path in bad else "ok"
            writer.writerow(
                [f"images/{path.name}", label, "test" if number % 3 == 2 else "train", number // 2]
            )


LAYOUTS: dict[str, Builder] = {
    "class folders": class_folders,
    "MVTec AD": mvtec,
    "COCO": coco,
    "YOLO": yolo,
    "VOC": voc,
    "labelme": labelme,
    "CSV": table,
}


@pytest.fixture(params=LAYOUTS, ids=lambda name: str(name).replace(" ", "-"))
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The name of a layout, and a folder that has it."""
    root = tmp_path / "pictures"
    LAYOUTS[request.param](root)
    return request.param, root
