"""Trains the demo model `shapes.onnx` on the synthetic scene's own pictures.

What it measured with the seed below, on 500 unseen pictures: mAP50 0.966 (circle 0.980, square 0.975, triangle 0.952,
star 0.976, cross 0.968, arrow 0.946); at score 0.25 a precision of 0.968 and a recall of 0.943. 14 epochs of 3,250
pictures took 38 minutes, 24 CPU minutes of them for the training itself, on one thread of a busy 2.5 GHz Xeon.

How to run it, from the project's root, with Python 3.11:

    python -m venv VENV && VENV/bin/pip install -r models/requirements.txt
    cargo build --package media --example render_scene
    VENV/bin/python models/pictures.py --out PICTURES
    VENV/bin/python models/train.py --pictures PICTURES --out models/shapes.onnx
    VENV/bin/python models/evaluate.py --model models/shapes.onnx --pictures PICTURES/test
"""

import argparse
import copy
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from augment import IGNORED_VISIBLE, WANTED_VISIBLE, sample
from evaluate import evaluate, table
from export import export
from loss import Objects, loss
from network import Detector, all_anchor_points
from pictures import Picture, labels, load

VERSION = "1.0.0"
SEED = 7
BATCH = 16
PEAK_RATE = 2e-3
WARM_UP = 200
WEIGHT_DECAY = 0.02
AVERAGING = 0.995
LONGEST_GRADIENT = 10.0

Batch = tuple[Tensor, Objects]


@dataclass(frozen=True)
class Varied(Dataset):
    """The training set as one epoch sees it; the same epoch sees the same pictures in every run."""

    pictures: list[Picture]
    epoch: int

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return sample(self.pictures[index], random.Random(f"{SEED} {self.epoch} {index}"))


def collate(samples: list[tuple[np.ndarray, ...]]) -> Batch:
    """Stacks pictures and pads their objects to one count."""
    most = max(1, *(len(classes) for _, classes, _, _ in samples))
    classes = torch.zeros(len(samples), most, dtype=torch.int64)
    boxes = torch.zeros(len(samples), most, 4)
    visible = torch.zeros(len(samples), most)
    for place, (_, their_classes, their_boxes, their_visible) in enumerate(samples):
        count = len(their_classes)
        classes[place, :count] = torch.from_numpy(their_classes)
        boxes[place, :count] = torch.from_numpy(their_boxes)
        visible[place, :count] = torch.from_numpy(their_visible)
    wanted = visible >= WANTED_VISIBLE
    objects = Objects(classes, boxes, wanted, (visible >= IGNORED_VISIBLE) & ~wanted)
    pixels = torch.from_numpy(np.stack([pixels for pixels, *_ in samples]))
    return pixels.permute(0, 3, 1, 2), objects


def rate(step: int, steps: int) -> float:
    """Gives the learning rate of a step: a short rise, then half a cosine down."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    return PEAK_RATE * (0.5 + 0.5 * math.cos(math.pi * (step - WARM_UP) / max(steps - WARM_UP, 1))) + 1e-5


@torch.no_grad()
def follow(average: Detector, detector: Detector, step: int) -> None:
    """Moves the averaged weights a little towards the trained ones."""
    keep = min(AVERAGING, (step + 1) / (step + 10))
    for ours, theirs in zip(average.state_dict().values(), detector.state_dict().values(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - keep)
        else:
            ours.copy_(theirs)


def train(pictures: list[Picture], classes: int, epochs: int) -> Detector:
    """Trains for some epochs and gives the network with averaged weights."""
    detector = Detector(classes).to(memory_format=torch.channels_last)
    average = copy.deepcopy(detector)
    optimiser = torch.optim.AdamW(detector.parameters(), weight_decay=WEIGHT_DECAY)
    length = len(pictures) // BATCH
    for epoch in range(epochs):
        started, total = time.monotonic(), 0.0
        for step, batch in enumerate(batches(Varied(pictures, epoch)), epoch * length):
            for group in optimiser.param_groups:
                group["lr"] = rate(step, epochs * length)
            total += learn(detector, optimiser, batch)
            follow(average, detector, step)
        spent = time.monotonic() - started
        print(f"epoch {epoch + 1}/{epochs}: loss {total / length:.3f}, {spent:.0f} s", flush=True)
    return average.to(memory_format=torch.contiguous_format)


def learn(detector: Detector, optimiser: torch.optim.Optimizer, batch: Batch) -> float:
    """Makes one step of gradient descent and gives the loss before it."""
    pixels, objects = batch
    images = pixels.float().div(255).contiguous(memory_format=torch.channels_last)
    cost = loss(detector(images), objects, all_anchor_points())
    optimiser.zero_grad()
    cost.backward()
    torch.nn.utils.clip_grad_norm_(detector.parameters(), LONGEST_GRADIENT)
    optimiser.step()
    return cost.item()


def batches(pictures: Varied) -> DataLoader:
    """Gives an epoch's batches, prepared by a process beside the training."""
    order = torch.Generator().manual_seed(SEED + pictures.epoch)
    options = {"shuffle": True, "generator": order, "drop_last": True, "num_workers": 1}
    return DataLoader(pictures, BATCH, collate_fn=collate, **options)


def main() -> None:
    """Trains, exports and measures."""
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--pictures", type=Path, required=True, help="folder that pictures.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--threads", type=int, default=1, help="more than the idle cores makes it slower")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(mode=True)
    started, spent = time.monotonic(), time.process_time()
    names = labels(arguments.pictures / "train")
    detector = train(list(load(arguments.pictures / "train")), len(names), arguments.epochs)
    print(f"trained in {time.monotonic() - started:.0f} s, {time.process_time() - spent:.0f} CPU s")
    export(detector, names, VERSION, arguments.out)
    print(table(names, evaluate(arguments.out, load(arguments.pictures / "test"), len(names))))


if __name__ == "__main__":
    main()
