"""Draws latency against offered load from what runs of `bench.serving.verdicts` wrote.

    python -m bench.serving.plot FIGURES.json [FIGURES.json ...] PICTURE.svg

Both axes are in units of one at a time: a load of 1 is as many verdicts a second as it can do, a latency of 1
the time it takes for one. Lines are the median, shades reach to the 99th percentile.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.serving.verdicts import ALL, ALONE, BATCHES, PEER

COLOURS = {ALONE: "#777777", BATCHES: "#d98c00", ALL: "#0067a5", PEER: "#a61c3c"}
TITLES = {"starter": "Starter, 8 bits", "mid": "Middle size, 2 bits"}

Json = Mapping[str, Any]


def draw(models: Json) -> Figure:
    """One panel a model, side by side."""
    figure = Figure(figsize=(4.6 * len(models), 3.8), layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for panel, (model, variants) in zip(panels, models.items(), strict=True):
        _panel(panel, variants)
        panel.set_title(TITLES[model], fontsize=10)
    panels[0].set_ylabel("latency (verdicts one at a time)")
    panels[0].legend(frameon=False, fontsize=9)
    return figure


def _panel(panel: Axes, variants: Json) -> None:
    for name, found in variants.items():
        loads = [float(share) * found["rate"] for share in found["latencies"]]
        middle, high = ([latency[key] for latency in found["latencies"].values()] for key in ("p50", "p99"))
        panel.plot(loads, middle, "o-", color=COLOURS[name], label=name, markersize=4)
        panel.fill_between(loads, middle, high, color=COLOURS[name], alpha=0.15, linewidth=0)
    panel.set_xlabel("offered load (of one at a time's rate)")
    panel.set_yscale("log")
    panel.set_xlim(left=0)
    panel.grid(visible=True, which="both", alpha=0.2)
    panel.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Draw it; the same figures give the same file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, nargs="+", help="a panel for each model in them")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    mpl.rcParams["svg.hashsalt"] = "lynceus"
    models: dict[str, Any] = {}
    for path in arguments.figures:
        models |= json.loads(path.read_text(encoding="utf-8"))["models"]
    figure = draw(models)
    figure.savefig(arguments.picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
