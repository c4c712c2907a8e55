"""The detector: a small convolutional network with two anchor-free heads.

In: RGB pictures, ``[batch, 3, HEIGHT, WIDTH]``, values 0..1.
Out: for every anchor point a box and one logit per class. Boxes are (left, top, right, bottom) in input pixels.

Only operations that any ONNX engine runs well are used: 3x3 and 1x1 convolutions, ReLU, sigmoid, sums,
nearest-neighbour enlargement.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 320
HEIGHT = 192
STRIDES = (8, 16)
REACH = 16.0
"""The farthest a box edge may lie from its anchor point, in strides."""


@dataclass(frozen=True)
class Prediction:
    """What the network says about a batch: boxes ``[batch, anchors, 4]``, logits ``[batch, anchors, classes]``."""

    boxes: Tensor
    logits: Tensor


class ConvBlock(nn.Sequential):
    """A 3x3 convolution, batch normalisation and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two convolutions through half the channels, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = ConvBlock(channels, channels // 2)
        self.widen = ConvBlock(channels // 2, channels)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.widen(self.narrow(features))


class Detector(nn.Module):
    """Four halvings, one step back up, and a head at each of the two last scales."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.stride4 = nn.Sequential(ConvBlock(3, 16, 2), ConvBlock(16, 32, 2), Residual(32))
        self.stride8 = nn.Sequential(ConvBlock(32, 64, 2), Residual(64))
        self.stride16 = nn.Sequential(ConvBlock(64, 96, 2), Residual(96), Residual(96))
        self.lateral = nn.Conv2d(96, 64, 1)
        self.fine = ConvBlock(64, 64)
        self.coarse = ConvBlock(96, 64)
        self.fine_head = nn.Conv2d(64, 4 + classes, 1)
        self.coarse_head = nn.Conv2d(64, 4 + classes, 1)
        for head in (self.fine_head, self.coarse_head):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias[:4], -2.0)
            nn.init.constant_(head.bias[4:], -4.5)

    def forward(self, pictures: Tensor) -> Prediction:
        eighth = self.stride8(self.stride4(pictures))
        sixteenth = self.stride16(eighth)
        lifted = functional.interpolate(self.lateral(sixteenth), scale_factor=2.0, mode="nearest")
        maps = (self.fine_head(self.fine(eighth + lifted)), self.coarse_head(self.coarse(sixteenth)))
        parts = [decode(features, stride) for features, stride in zip(maps, STRIDES, strict=True)]
        return Prediction(torch.cat([p.boxes for p in parts], 1), torch.cat([p.logits for p in parts], 1))


def decode(features: Tensor, stride: int) -> Prediction:
    """Turns one head's map ``[batch, 4 + classes, rows, columns]`` into boxes and logits."""
    flat = features.flatten(2).transpose(1, 2)
    points = anchor_points(features.shape[2], features.shape[3], stride).to(features.device)
    distances = flat[..., :4].sigmoid() * (REACH * stride)
    boxes = torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)
    return Prediction(boxes, flat[..., 4:])


def anchor_points(rows: int, columns: int, stride: int) -> Tensor:
    """Gives the centres (x, y) of a map's cells in input pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride


def all_anchor_points() -> Tensor:
    """Gives the anchor points of both heads in the order of the network's output."""
    return torch.cat([anchor_points(HEIGHT // stride, WIDTH // stride, stride) for stride in STRIDES])
