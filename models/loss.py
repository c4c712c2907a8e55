"""The training loss: anchors are matched to objects by how well they already do (TOOD, arXiv:2108.07755).

Boxes here are (left, top, right, bottom) in input pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from network import Prediction

CANDIDATES = 10
SCORE_POWER = 0.5
OVERLAP_POWER = 6.0
BOX_WEIGHT = 5.0


@dataclass(frozen=True)
class Objects:
    """A batch's objects, padded to one count: classes ``[batch, objects]``, boxes ``[batch, objects, 4]``.

    ``wanted`` marks what the network must find, ``ignored`` what it may find or miss; padding is neither.
    """

    classes: Tensor
    boxes: Tensor
    wanted: Tensor
    ignored: Tensor


@dataclass(frozen=True)
class Targets:
    """What each anchor should say: scores ``[batch, anchors, classes]``, the box, and whether it has an object."""

    scores: Tensor
    boxes: Tensor
    positive: Tensor


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Gives the intersection over union of boxes that broadcast against each other."""
    corner = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = corner.clamp(min=0).prod(-1)
    return shared / (area(a) + area(b) - shared + 1e-9)


def area(boxes: Tensor) -> Tensor:
    """Gives the area of boxes in square pixels."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def complete_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Gives the overlap less a penalty for distant centres and another shape (CIoU, arXiv:1911.08287)."""
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    between = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    size_a, size_b = (a[..., 2:] - a[..., :2]).clamp(min=1e-6), (b[..., 2:] - b[..., :2]).clamp(min=1e-6)
    tilt = torch.atan(size_a[..., 0] / size_a[..., 1]) - torch.atan(size_b[..., 0] / size_b[..., 1])
    shape = tilt.square() * (4 / torch.pi**2)
    plain = overlap(a, b)
    with torch.no_grad():
        weight = shape / (1 - plain + shape + 1e-9)
    return plain - between / (hull.square().sum(-1) + 1e-9) - weight * shape


def inside(points: Tensor, boxes: Tensor) -> Tensor:
    """Says which anchor points lie in which boxes: ``[batch, objects, anchors]``."""
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    return ((points > low) & (points < high)).all(-1)


@torch.no_grad()
def assign(prediction: Prediction, objects: Objects, points: Tensor) -> Targets:
    """Gives every wanted object its best anchors, and every anchor at most one object."""
    scores = prediction.logits.sigmoid()
    of_class = objects.classes[:, :, None].expand(-1, -1, points.shape[0])
    score = scores.transpose(1, 2).gather(1, of_class)
    overlaps = overlap(objects.boxes[:, :, None], prediction.boxes[:, None]).clamp(min=1e-4)
    eligible = inside(points, objects.boxes) & objects.wanted[:, :, None]
    quality = score.pow(SCORE_POWER) * overlaps.pow(OVERLAP_POWER) * eligible
    best = quality.topk(CANDIDATES, dim=-1).indices
    chosen = torch.zeros_like(eligible).scatter_(2, best, value=True) & eligible
    owner = (overlaps * chosen).argmax(1)
    chosen &= functional.one_hot(owner, chosen.shape[1]).transpose(1, 2).bool()
    quality, overlaps = quality * chosen, overlaps * chosen
    scaled = quality * overlaps.amax(-1, keepdim=True) / (quality.amax(-1, keepdim=True) + 1e-12)
    strength = scaled.amax(1)
    labels = objects.classes.gather(1, owner)
    one_hot = functional.one_hot(labels, prediction.logits.shape[2])
    boxes = objects.boxes.gather(1, owner[..., None].expand(-1, -1, 4))
    return Targets(one_hot * strength[..., None], boxes, chosen.any(1))


def class_weights(targets: Targets, objects: Objects, points: Tensor) -> Tensor:
    """Gives 0 where an anchor lies in an ignored object of that class and has no object itself, else 1."""
    touched = (inside(points, objects.boxes) & objects.ignored[:, :, None]).float()
    classes = functional.one_hot(objects.classes, targets.scores.shape[2]).float()
    ignored = torch.einsum("boa,boc->bac", touched, classes) > 0
    return 1.0 - (ignored & ~targets.positive[..., None]).float()


def loss(prediction: Prediction, objects: Objects, points: Tensor) -> Tensor:
    """Gives the batch's loss: binary cross-entropy of the scores plus the boxes' missing overlap."""
    targets = assign(prediction, objects, points)
    total = targets.scores.sum().clamp(min=1.0)
    weights = class_weights(targets, objects, points)
    entropy = functional.binary_cross_entropy_with_logits(prediction.logits, targets.scores, weights, reduction="sum")
    strength = targets.scores.sum(-1)[targets.positive]
    missing = 1 - complete_overlap(prediction.boxes[targets.positive], targets.boxes[targets.positive])
    return entropy / total + BOX_WEIGHT * (missing * strength).sum() / total
