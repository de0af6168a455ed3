"""What others would do with the same pictures: taught by some samples, each says something of others."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.nn import functional as F

from bench.own_part.sets import Sample
from engine.tuning.eye import Eye
from engine.tuning.pictures import Pixels, Regions, whole_view

Classifier = Callable[[Sequence[Sample], Sequence[Sample], int], list[str]]
"""Samples that teach, samples that test, a seed -> a class for each of the latter."""

NETWORK_SIDE, EPOCHS, BATCH = 96, 30, 16
HOG_SIDE, HOG_CELL, HOG_DIRECTIONS = 128, 16, 9
PATCHCORE_SHARE, PATCHCORE_NEIGHBOURS, PATCHCORE_PLACES = 0.1, 9, 20_000


def frozen_head(eye: Eye) -> Classifier:
    """The head's mean of the same eye and a logistic regression as scikit-learn sets it up."""

    def classify(taught: Sequence[Sample], tested: Sequence[Sample], seed: int) -> list[str]:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000, random_state=seed))
        model.fit(_heads(eye, taught), [each.label for each in taught])
        return list(model.predict(_heads(eye, tested)))

    return classify


def _heads(eye: Eye, samples: Sequence[Sample]) -> NDArray[np.float64]:
    sights = (eye.see(whole_view(each.read(), Regions())) for each in samples)
    return np.stack([sight.maps[-1].flatten(1).mean(1).double().numpy() for sight in sights])


def hog_and_svm(taught: Sequence[Sample], tested: Sequence[Sample], seed: int) -> list[str]:
    """Histograms of gradients at 128 x 128 and a support vector machine."""
    model = make_pipeline(StandardScaler(), SVC(C=10.0, random_state=seed))
    model.fit(_gradients(taught), [each.label for each in taught])
    return list(model.predict(_gradients(tested)))


def _gradients(samples: Sequence[Sample]) -> NDArray[np.float64]:
    return np.stack([histograms_of_gradients(each.read()) for each in samples])


def histograms_of_gradients(rgb: Pixels) -> NDArray[np.float64]:
    """Nine directions in cells of 16 pixels, in blocks of 2 x 2 cells of unit length (Dalal and Triggs)."""
    grey = cv2.cvtColor(cv2.resize(rgb, (HOG_SIDE,) * 2, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=1) for order in ((1, 0), (0, 1)))
    strength, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi
    direction = np.minimum((angle / np.pi * HOG_DIRECTIONS).astype(int), HOG_DIRECTIONS - 1)
    split = np.where(direction[None] == np.arange(HOG_DIRECTIONS)[:, None, None], strength, 0)
    side = HOG_SIDE // HOG_CELL
    cells = split.reshape(HOG_DIRECTIONS, side, HOG_CELL, side, HOG_CELL).sum((2, 4))
    blocks = np.concatenate([cells[:, y : side - 1 + y, x : side - 1 + x] for y in (0, 1) for x in (0, 1)])
    return np.asarray((blocks / np.sqrt((blocks**2).sum(0) + 1.0)).ravel(), np.float64)


def network_from_scratch(taught: Sequence[Sample], tested: Sequence[Sample], seed: int) -> list[str]:
    """Five convolutions, trained on turned and mirrored pictures at 96 x 96."""
    torch.manual_seed(seed)
    labels = sorted({each.label for each in taught})
    targets = torch.tensor([labels.index(each.label) for each in taught])
    widths = (3, 16, 32, 64, 96, 128)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    network = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], len(labels))
    )
    _train(network, _small(taught), targets)
    network.eval()
    with torch.inference_mode():
        return [labels[index] for index in network(_small(tested)).argmax(1).tolist()]


def _train(network: nn.Module, pictures: Tensor, targets: Tensor) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        if step % -(-len(pictures) // BATCH) == 0:
            order = torch.randperm(len(pictures))
        chosen = order[(step % -(-len(pictures) // BATCH)) * BATCH :][:BATCH]
        batch = torch.rot90(pictures[chosen], int(torch.randint(4, ())), (2, 3))
        if len(chosen) < 2:
            continue
        loss = F.cross_entropy(network(batch.flip(3) if torch.rand(()) < 0.5 else batch), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _small(samples: Sequence[Sample]) -> Tensor:
    pictures = [
        cv2.resize(each.read(), (NETWORK_SIDE,) * 2, interpolation=cv2.INTER_AREA) for each in samples
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def patchcore(eye: Eye, goods: Sequence[Sample], tested: Sequence[Sample], seed: int) -> NDArray[np.float64]:
    """Image scores as anomalib computes PatchCore, with the strides 8 and 16 of the same eye.

    Features averaged over 3 x 3 and joined at the finer stride, a core set of a tenth, the largest distance
    of a place, weighted by how its nearest neighbour stands among its own nine (Roth et al., equation 7).
    """
    torch.manual_seed(seed)
    places = torch.cat([_joined(eye, each) for each in goods])
    places = places[torch.randperm(len(places))[:PATCHCORE_PLACES]]
    core = _core(places, max(1, int(PATCHCORE_SHARE * len(places))))
    return np.array([_patchcore_score(_joined(eye, each), core) for each in tested])


def _joined(eye: Eye, sample: Sample) -> Tensor:
    maps = eye.see(whole_view(sample.read(), Regions())).maps[:2]
    pooled = [F.avg_pool2d(each[None], 3, 1, 1) for each in maps]
    coarse = F.interpolate(pooled[1], pooled[0].shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([pooled[0], coarse], 1)[0].flatten(1).T


def _core(places: Tensor, count: int) -> Tensor:
    low = places @ (torch.randn(places.shape[1], 32) / 32**0.5)
    chosen = [0]
    distances = (low - low[0]).square().sum(1)
    for _ in range(count - 1):
        newest = int(distances.argmax())
        chosen.append(newest)
        distances = torch.minimum(distances, (low - low[newest]).square().sum(1))
    return places[chosen]


def _patchcore_score(places: Tensor, core: Tensor) -> float:
    distances, nearest = torch.cdist(places, core).min(1)
    hottest = int(distances.argmax())
    neighbour = core[nearest[hottest]]
    support = (
        torch.cdist(neighbour[None], core)[0]
        .topk(min(PATCHCORE_NEIGHBOURS, len(core)), largest=False)
        .indices
    )
    among = torch.cdist(places[hottest][None], core[support])[0]
    weight = 1 - float(torch.softmax(among, 0)[0])
    return weight * float(distances[hottest])


def pixel_difference(tested: Sequence[Sample]) -> NDArray[np.float64]:
    """Mean absolute difference of each picture from its golden one."""
    return np.array(
        [
            float(cv2.absdiff(each.read(), each.golden()).mean()) if each.golden is not None else 0.0
            for each in tested
        ]
    )
