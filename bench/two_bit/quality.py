"""What two bits cost the starter: agreement with its fp32 self, accuracy, divergence, beside other methods.

    python -m bench.two_bit.quality PICTURES [--checkpoint models/starter] [--calibration 256] [--L 16 18 20]

PICTURES holds mcbt, deeppcb and bsdata. Calibration pictures are of the training split. All methods get the
same Hessians; only their routed experts differ, computed in fp32. Two more rows are what ships: `lynceus
quantize` with and without calibration, all else in 8 bits and activations in int8. Divergence is the mean
Kullback-Leibler divergence of the class distribution from that of fp32, in nats; its ratio to ours (the
first method) has a 95 % interval from resampled pictures.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.host import print_host
from bench.two_bit.peers import methods
from bench.two_bit.variants import Original, calibration
from engine import Engine, EngineConfig
from engine.compression import Options, Totals, compress
from engine.format.layout import WINDOW_BITS
from schemas import Diagnosis
from starter.evaluate import HELD_OUT_SURFACES, ReportFigures, likeliest, report_figures, score
from starter.pictures.datasets import read_metal
from starter.pictures.samples import Sample
from starter.surfaces.surfaces import held_out

RESAMPLES = 10_000
REFERENCE, SHIPPED, BLIND = "fp32", "quantize", "quantize, no pictures"

Sets = Mapping[str, Sequence[Sample]]


@dataclass(frozen=True)
class Answers:
    """A variant's bits a routed weight, and its class distributions (log) by set of pictures."""

    bits: float
    distributions: Mapping[str, list[Tensor]]


@dataclass(frozen=True)
class Figures:
    """How a variant answers one set, or all: counts of pictures, and the mean divergence."""

    pictures: int
    agreeing: int
    right: int
    divergence: float
    ratio: tuple[float, float, float]
    """Of its divergence to ours: the low end of the interval, the ratio, the high end."""


def answers(checkpoint: Path, bits: float, sets: Sets) -> Answers:
    """Ask for the class of every picture."""
    with Engine(EngineConfig(checkpoint, device="cpu")) as engine:
        return Answers(
            bits,
            {
                kind: [torch.tensor(each).log_softmax(0) for each in score(engine, samples)]
                for kind, samples in sets.items()
            },
        )


def divergences(reference: Sequence[Tensor], found: Sequence[Tensor]) -> Tensor:
    """Kullback-Leibler divergence of each picture's distribution from the reference, `[pictures]`."""
    pairs = zip(reference, found, strict=True)
    return torch.tensor([float((p.exp() * (p - q)).sum()) for p, q in pairs])


def ratio(one: Tensor, other: Tensor) -> tuple[float, float, float]:
    """Of the means of two paired samples, with the ends of the 95 % interval of the bootstrap."""
    rng = np.random.default_rng(0)
    chosen = torch.from_numpy(rng.integers(0, len(one), (RESAMPLES, len(one))))
    found = one[chosen].mean(1) / other[chosen].mean(1)
    low, high = found.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, float(one.mean() / other.mean()), high


def figures(kinds: Sequence[str], sets: Sets, reference: Answers, found: Answers, ours: Answers) -> Figures:
    """Compare a variant with the reference and with the truth over some sets together."""

    def joined(each: Answers) -> list[Tensor]:
        return [distribution for kind in kinds for distribution in each.distributions[kind]]

    samples = [sample for kind in kinds for sample in sets[kind]]
    expected, given = joined(reference), joined(found)
    lost = divergences(expected, given)
    named = likeliest(samples, [each.tolist() for each in given])
    return Figures(
        pictures=len(samples),
        agreeing=sum(int(p.argmax() == q.argmax()) for p, q in zip(expected, given, strict=True)),
        right=sum(sample.label == name for sample, name in zip(samples, named, strict=True)),
        divergence=float(lost.mean()),
        ratio=ratio(lost, divergences(expected, joined(ours))),
    )


def reports(checkpoint: Path, sets: Sets, count: int) -> dict[str, ReportFigures]:
    """Have `count` reports written for each set, of pictures at even distances."""
    schema = Diagnosis.model_json_schema()
    with Engine(EngineConfig(checkpoint, device="cpu")) as engine:
        return {
            kind: report_figures(engine, samples[:: max(1, len(samples) // count)][:count], schema)
            for kind, samples in sets.items()
        }


def shipped(original: Original, target: Path, window_bits: int, *, calibrated: bool) -> Totals:
    """What `lynceus quantize` writes."""
    examples = original.examples if calibrated else ()
    return compress(original.source, target, Options(window_bits), examples, lambda _: None)


def ask_all(original: Original, work: Path, sets: Sets, window_bits: tuple[int, ...]) -> dict[str, Answers]:
    """Make every variant and ask it; the first method is the one that others are compared with."""
    plain = work / REFERENCE
    original.write(plain, lambda weights, _: weights)
    found = {REFERENCE: answers(plain, 32, sets)}
    for name, method in methods(window_bits).items():
        original.write(work / name, method.keep)
        found[name] = answers(work / name, original.bits(method), sets)
    for name, calibrated in ((SHIPPED, True), (BLIND, False)):
        totals = shipped(original, work / name, window_bits[0], calibrated=calibrated)
        found[name] = answers(work / name, totals.bits_per_routed_weight, sets)
    return found


def print_table(title: str, found: Mapping[str, Answers], results: Mapping[str, Figures]) -> None:
    """One line a variant."""
    print(f"\n{title}\n{'':24}{'bits':>6}{'agree':>12}{'right':>12}{'divergence':>12}{'of ours':>9}  95 %")
    for name, each in results.items():
        low, middle, high = each.ratio
        counts = f"{each.agreeing}/{each.pictures}", f"{each.right}/{each.pictures}"
        line = f"{name:24}{found[name].bits:6.2f}{counts[0]:>12}{counts[1]:>12}{each.divergence:12.6f}"
        print(f"{line}{middle:9.2f}  {low:.2f} - {high:.2f}")


def main() -> None:
    """Print a table for each set and for all, the reports' figures, and JSON with everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=Path("models/starter"))
    parser.add_argument("--calibration", type=int, default=256, help="training pictures")
    parser.add_argument("--surfaces", type=int, default=HELD_OUT_SURFACES, help="held-out synthetic pictures")
    parser.add_argument("--reports", type=int, default=40, help="written reports of each set")
    parser.add_argument("--L", type=int, nargs="+", default=WINDOW_BITS, dest="window_bits")
    arguments = parser.parse_args()
    print_host()
    sets = {"metal": read_metal(arguments.pictures).test, "surface": tuple(held_out(arguments.surfaces))}
    examples = calibration(arguments.pictures, arguments.calibration)
    original = Original.read(arguments.checkpoint, examples)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        found = ask_all(original, work, sets, tuple(arguments.window_bits))
        written = {name: reports(work / name, sets, arguments.reports) for name in (REFERENCE, SHIPPED)}
    reference, ours = found[REFERENCE], list(found.values())[1]
    results = {
        title: {name: figures(kinds, sets, reference, each, ours) for name, each in found.items()}
        for title, kinds in {**{kind: [kind] for kind in sets}, "all": list(sets)}.items()
    }
    for title, by_name in results.items():
        print_table(title, found, by_name)
    for name, by_kind in written.items():
        for kind, each in by_kind.items():
            shares = f"{each.parsed:.1%} whole, {each.right_defect:.1%} name the right defect"
            print(f"{name}: {each.reports} reports on {kind}: {shares}")
    tables = {title: {name: asdict(each) for name, each in by.items()} for title, by in results.items()}
    told = {name: {kind: asdict(each) for kind, each in by.items()} for name, by in written.items()}
    print(json.dumps({"classes": tables, "reports": told}))


if __name__ == "__main__":
    main()
