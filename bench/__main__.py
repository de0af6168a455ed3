"""Runs the measurements that this machine can take, one after the other, and says what the others need.

    python -m bench [--work FOLDER]

FOLDER receives models, stores and figures; without it the scripts that write to one are left out. Exit code 1
when a script that was run failed, and only then.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

GPU = "a GPU"
PICTURES = "a folder of pictures as its only argument"


@dataclass(frozen=True)
class Script:
    """One script: what it needs beyond this machine, or what it writes below --work; "" for a plain one."""

    name: str
    needs: str = ""
    writes: str = ""

    def lacks(self, work: Path | None) -> str:
        """What is missing to run it; "" when nothing is."""
        if self.needs == GPU and torch.cuda.is_available():
            return ""
        return self.needs or ("--work FOLDER" if self.writes and work is None else "")

    def command(self, work: Path | None) -> list[str]:
        """How it is run."""
        folder = [str(work / self.writes)] if self.writes and work else []
        return [sys.executable, "-m", f"bench.{self.name}", *folder]


SCRIPTS = (
    Script("gpu.predicted.roofline"),
    Script("gpu.predicted.resources"),
    Script("starter.fresh_surfaces"),
    Script("two_bit.code"),
    Script("own_part.folder"),
    Script("own_part.bounds", needs=PICTURES),
    Script("pipeline.end_to_end", writes="end_to_end"),
    Script("pipeline.soak", writes="soak"),
    Script("serving.verdicts", writes="serving.json"),
    Script("serving.parts"),
    Script("serving.reports"),
    Script("full_size.quantize", writes="quantize"),
    Script("full_size.speed", needs="16 GB of disk and llama.cpp, as its head says"),
    Script("two_bit.quality", needs=PICTURES),
    Script("two_bit.windows", needs=PICTURES),
    Script("own_part", needs="a folder of pictures, as its head says"),
    Script("gpu", needs=GPU),
)
HELPERS = ("gpu.section", "pipeline.soak_gateway", "serving.mid_size", "serving.plot")
"""Run by another script, or with what another one wrote."""


def main() -> None:
    """Run what can be run; exit with 1 when one of them failed."""
    parser = argparse.ArgumentParser(
        "python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path)
    work: Path | None = parser.parse_args().work
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    failed = []
    for script in SCRIPTS:
        if lacking := script.lacks(work):
            print(f"== {script.name}: left out, it needs {lacking}", flush=True)
            continue
        print(f"== {script.name}", flush=True)
        if subprocess.run(script.command(work), check=False).returncode:
            failed.append(script.name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
