"""One part, one number of pictures a class, one seed: what was taught, and what baselines say of the rest."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from bench.own_part.baselines import (
    frozen_head,
    hog_and_svm,
    network_from_scratch,
    patchcore,
    pixel_difference,
)
from bench.own_part.sets import PartSet, Sample, read_file
from engine.tuning import Opinion, TaughtPart, TeachOptions, teach
from engine.tuning.eye import Eye

Row = dict[str, float | str]

GOOD_PARTS = 30


def measure(part_set: PartSet, shots: int, seed: int, eye: Eye, *, baselines: bool) -> Row:
    """Balanced accuracy in per cent of the fused opinion, of each opinion alone and of the baselines."""
    taught, tested = part_set.split(shots, seed)
    started = time.monotonic()
    part = teach([each.picture for each in taught], TeachOptions(good=part_set.good, seed=seed), eye=eye)
    row: Row = {"set": part_set.name, "shots": shots, "seed": seed, "teach s": time.monotonic() - started}
    said = [_judged(part, each, eye) for each in tested]
    labels = [each.label for each in tested]
    row["fused"] = accuracy(labels, [_likeliest(each.probabilities) for each in said])
    for name in part.alone:
        row[name] = accuracy(labels, [_likeliest(each.said[name]) for each in said])
    row["held out"] = accuracy(
        [each.label for each in part.held_out], [_likeliest(each.probabilities) for each in part.held_out]
    )
    if part_set.name != "neu":
        row["AUROC"] = auroc(tested, part_set.good, [1 - each.probabilities[part_set.good] for each in said])
    row["not judged"] = float(np.mean([each.not_judged is not None for each in said]) * 100)
    row["chosen"] = str(part.provenance.chosen)
    if baselines:
        row |= _baselines(taught, tested, seed, eye)
    return row


def _judged(part: TaughtPart, sample: Sample, eye: Eye) -> Opinion:
    return part.judge(sample.read(), sample.golden() if sample.golden else None, eye=eye)


def _baselines(taught: Sequence[Sample], tested: Sequence[Sample], seed: int, eye: Eye) -> Row:
    labels = [each.label for each in tested]
    every = {
        "frozen + LR": frozen_head(eye),
        "HOG + SVM": hog_and_svm,
        "CNN from scratch": network_from_scratch,
    }
    return {name: accuracy(labels, classify(taught, tested, seed)) for name, classify in every.items()}


def measure_good_only(part_set: PartSet, seed: int, eye: Eye) -> Row:
    """Image AUROC, and pixel AUROC where masks are given, of a part taught with 30 good pictures only."""
    taught, tested = part_set.split(GOOD_PARTS, seed)
    goods = [each for each in taught if each.label == part_set.good]
    masked = [each for each in part_set.samples if each.mask is not None]
    tested = tested + [each for each in masked if each not in tested]
    started = time.monotonic()
    part = teach([each.picture for each in goods], TeachOptions(good=part_set.good, seed=seed), eye=eye)
    row: Row = {
        "set": part_set.name,
        "shots": GOOD_PARTS,
        "seed": seed,
        "teach s": time.monotonic() - started,
    }
    said = [_judged(part, each, eye) for each in tested]
    row["bank AUROC"] = auroc(tested, part_set.good, [each.anomaly for each in said])
    if masked:
        row["pixel AUROC"] = _pixel_auroc(
            [(each, opinion) for each, opinion in zip(tested, said, strict=True) if each.mask]
        )
    row["PatchCore AUROC"] = auroc(tested, part_set.good, patchcore(eye, goods, tested, seed).tolist())
    if any(each.golden for each in tested):
        row["pixel difference AUROC"] = auroc(tested, part_set.good, pixel_difference(tested).tolist())
    return row


def _pixel_auroc(masked: Sequence[tuple[Sample, Opinion]]) -> float:
    import cv2

    truth, scores = [], []
    for sample, opinion in masked:
        assert sample.mask is not None
        mask = read_file(sample.mask).max(2) > 127
        size = (opinion.anomaly_map.shape[1], opinion.anomaly_map.shape[0])
        truth.append(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel() > 0.5)
        scores.append(opinion.anomaly_map.ravel())
    return 100 * float(roc_auc_score(np.concatenate(truth), np.concatenate(scores)))


def accuracy(labels: Sequence[str], said: Sequence[str]) -> float:
    """Balanced accuracy in per cent."""
    return 100 * float(balanced_accuracy_score(labels, said))


def auroc(tested: Sequence[Sample], good: str, scores: Sequence[float]) -> float:
    """Area under the ROC curve in per cent, bad against good."""
    bad: NDArray[np.bool_] = np.array([each.label != good for each in tested])
    return 100 * float(roc_auc_score(bad, scores))


def _likeliest(probabilities: dict[str, float]) -> str:
    return max(probabilities, key=probabilities.__getitem__)
