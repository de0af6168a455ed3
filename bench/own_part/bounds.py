"""Whether a calibrated escape bound holds on real scores: calibrate on some parts, count on all the others.

    python -m bench.own_part.bounds FOLDER

FOLDER is one of labelled pictures, in a layout that `lynceus data check` reads. A part is taught with a
third of it, and judges the bad parts of the rest. These stand for all bad parts there are: the share of them
below a threshold is its true escape rate. 200 times half as many are drawn from them, with replacement, and
a threshold is calibrated on the draw; it fails when its true rate is above the aim.
"""

import argparse
from pathlib import Path

import numpy as np

from bench.host import print_host
from engine import tuning
from services.teach.calibration.thresholds import accept_threshold
from services.teach.data import CheckOptions, checked
from services.teach.taught.lesson import lesson_of, samples_of

RESAMPLINGS = 200
AIMS = (0.2, 0.1, 0.05)
CONFIDENCE = 0.95


def judged(folder: Path) -> np.ndarray:
    """The defect probability of every bad part that was not taught."""
    found = checked(folder, CheckOptions())
    good = lesson_of(found).good
    samples = samples_of(found)
    order = np.random.default_rng(0).permutation(len(samples))
    taught = [samples[index] for index in order[: len(order) // 3]]
    rest = [samples[index] for index in order[len(order) // 3 :]]
    groups = {each.picture.group for each in taught}
    part = tuning.teach([each.labelled() for each in taught], tuning.TeachOptions(good=good))
    bad = [each for each in rest if each.name != good and each.picture.group not in groups]
    return np.array([1 - part.judge(each.labelled().pixels()).probabilities[good] for each in bad])


def failures(scores: np.ndarray, aim: float) -> tuple[int, int, float]:
    """Calibrations that gave a threshold, those whose true rate is above the aim, and the mean true rate."""
    random, rates = np.random.default_rng(1), []
    for _ in range(RESAMPLINGS):
        drawn = random.choice(scores, len(scores) // 2)
        found = accept_threshold(drawn, aim, CONFIDENCE)
        if found is not None:
            rates.append(float((scores < found).mean()))
    return len(rates), sum(rate > aim for rate in rates), float(np.mean(rates)) if rates else 0.0


def main() -> None:
    """Prints one line an aim."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print_host()
    scores = judged(folder)
    print(f"{len(scores)} bad parts that were not taught; half as many drawn, {RESAMPLINGS} times")
    for aim in AIMS:
        given, failed, share = failures(scores, aim)
        if given:
            print(f"at most {aim:.0%}: {failed} of {given} above it; true rate {share:.2%} on average")
        else:
            print(f"at most {aim:.0%}: refused, {len(scores) // 2} bad parts do not carry it")


if __name__ == "__main__":
    main()
