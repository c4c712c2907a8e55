"""Average precision at an overlap of 0.5, as COCO counts it.

Detections of a class are taken by falling score. Each takes the free wanted object it overlaps most, if by 0.5 or
more; else it is forgiven when it overlaps an ignored object so; else it is false. The average is over precision at
the 101 recalls 0, 0.01, … 1. An object is wanted when at least 0.35 of it is visible, and ignored otherwise.
"""

from dataclasses import dataclass

import numpy as np

ENOUGH_OVERLAP = 0.5
NMS_OVERLAP = 0.45
LOWEST_SCORE = 0.001
MOST_DETECTIONS = 100


@dataclass(frozen=True)
class Found:
    """A picture's detections: classes, scores, boxes (left, top, right, bottom)."""

    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True)
class Truth:
    """A picture's objects: classes, boxes in the units of the detections, and which of them must be found."""

    classes: np.ndarray
    boxes: np.ndarray
    wanted: np.ndarray


@dataclass(frozen=True)
class ClassScore:
    """How well one class is found; precision and recall are those at the asked score."""

    average_precision: float
    precision: float
    recall: float
    objects: int


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Gives the intersection over union of every box of ``a`` with every box of ``b``."""
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = corner.clip(0).prod(-1)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (a, b)]
    return shared / (sizes[0][:, None] + sizes[1][None] - shared + 1e-9)


def suppressed(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Gives the indices that non-maximum suppression keeps, best first."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size and len(kept) < MOST_DETECTIONS:
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[overlaps(boxes[best][None], boxes[order])[0] <= NMS_OVERLAP]
    return kept


def from_output(output: np.ndarray) -> Found:
    """Reads the file's output ``[4 + classes, anchors]``: centre, size, scores. Suppresses within each class.

    An anchor speaks for its likeliest class only.
    """
    centre, size = output[:2].T, output[2:4].T
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
    likeliest = output[4:].argmax(0)
    parts = []
    for label, scores in enumerate(output[4:]):
        likely = np.flatnonzero((likeliest == label) & (scores >= LOWEST_SCORE))
        kept = likely[suppressed(boxes[likely], scores[likely])]
        parts.append((np.full(kept.size, label), scores[kept], boxes[kept]))
    return Found(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def judged(found: Found, truth: Truth, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives the scores of a class's detections in one picture, and whether each is right; the forgiven are left out."""
    mine = np.flatnonzero(found.classes == label)
    mine = mine[np.argsort(-found.scores[mine], kind="stable")]
    here = truth.classes == label
    table = overlaps(found.boxes[mine], truth.boxes[here])
    wanted, taken = truth.wanted[here], np.zeros(int(here.sum()), bool)
    verdicts = []
    for row in table:
        free = np.where(wanted & ~taken, row, 0.0)
        right = bool(free.size) and free.max() >= ENOUGH_OVERLAP
        if right:
            taken[free.argmax()] = True
        forgiven = not right and bool((row[~wanted] >= ENOUGH_OVERLAP).any())
        verdicts.append(-1 if forgiven else int(right))
    counted = np.array(verdicts, int) >= 0
    return found.scores[mine][counted], np.array(verdicts, int)[counted] == 1


def class_score(pictures: list[tuple[Found, Truth]], label: int, score: float) -> ClassScore:
    """Scores one class over all pictures."""
    objects = sum(int((truth.wanted & (truth.classes == label)).sum()) for _, truth in pictures)
    parts = [judged(found, truth, label) for found, truth in pictures]
    scores, right = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], right[order].cumsum()
    precision, recall = hits / np.arange(1, hits.size + 1), hits / max(objects, 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    average = float(np.append(envelope, 0.0)[places].mean())
    count = int((scores >= score).sum())
    at = (precision[count - 1], recall[count - 1]) if count else (0.0, 0.0)
    return ClassScore(average, float(at[0]), float(at[1]), objects)
