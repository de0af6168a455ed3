"""Teach each part from its pictures and judge the rest, beside the baselines, and print a table.

    python -m bench.own_part --data FOLDER --work FOLDER [--sets casting,neu] [--seeds 3] [--good-only]

--data holds the picture sets; --work keeps what the eye saw and every row as JSON lines.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from bench.host import print_host
from bench.own_part.measure import Row, measure, measure_good_only
from bench.own_part.remembering import RememberingEye
from bench.own_part.sets import SETS
from engine.tuning.eye import DEFAULT_EYE

GOOD_ONLY = ("casting", "cookies", "aliens", "mcbt", "deeppcb")
UNPRINTED = ("seed", "chosen")


def main() -> None:
    """Measure what was asked for and print mean and spread over the seeds."""
    arguments = _arguments()
    torch.set_num_threads(1)
    print_host()
    arguments.work.mkdir(parents=True, exist_ok=True)
    eye = RememberingEye(arguments.work / "seen", arguments.eye)
    rows: list[Row] = []
    for name in arguments.sets.split(","):
        part_set = SETS[name](arguments.data)
        for shots in (None,) if arguments.good_only else part_set.shots:
            if arguments.shots and shots not in {None, arguments.shots}:
                continue
            for seed in range(arguments.seeds):
                row = (
                    measure_good_only(part_set, seed, eye)
                    if shots is None
                    else measure(part_set, shots, seed, eye, baselines=not arguments.no_baselines)
                )
                rows.append(row)
                with (arguments.work / "rows.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            print(_summary(rows[-arguments.seeds :]), flush=True)


def _summary(rows: list[Row]) -> str:
    parts = [f"{rows[0]['set']:8} {rows[0]['shots']:>4}"]
    for name, value in rows[0].items():
        if isinstance(value, float) and name not in UNPRINTED:
            values = [float(row.get(name, np.nan)) for row in rows]
            parts.append(f"{name} {np.mean(values):.1f}±{np.std(values):.1f}")
    return " | ".join(parts) + f" | {rows[0].get('chosen', '')}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shots", type=int)
    parser.add_argument("--eye", default=DEFAULT_EYE)
    parser.add_argument("--good-only", action="store_true")
    parser.add_argument("--no-baselines", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
