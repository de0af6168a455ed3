"""How long `lynceus data check` takes on many pictures, and how much memory.

    python -m bench.own_part.folder [--pictures 50000]

The pictures are crops of the samples, 200 x 200, each a JPEG of its own, written to a temporary folder first.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench.host import ROOT, print_host
from services.teach.data import check_folder

SIDE = 200


def write_pictures(folder: Path, count: int) -> None:
    """`count` different crops in two classes."""
    sources = [
        np.asarray(Image.open(path).convert("L"))
        for path in sorted((ROOT / "samples" / "cookies" / "train").rglob("*.jpg"))
    ]
    random = np.random.default_rng(0)
    for label in ("good", "cracked"):
        (folder / label).mkdir()
    for number in range(count):
        whole = sources[number % len(sources)]
        top, left = (int(random.integers(0, length - SIDE)) for length in whole.shape)
        crop = whole[top : top + SIDE, left : left + SIDE]
        label = "good" if number % 3 else "cracked"
        Image.fromarray(crop).save(folder / label / f"{number:06d}.jpg", quality=80)


def main() -> None:
    """Writes the pictures, checks them, and prints time and memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=50_000)
    count = parser.parse_args().pictures
    print_host()
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), count)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.monotonic()
        report = check_folder(Path(folder))
        seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{report.readable} pictures: {seconds:.1f} s, {peak / 1024:.0f} MiB at the most")
    print(f"{before / 1024:.0f} MiB before; {report.copies.near_pictures} near copies")


if __name__ == "__main__":
    main()
