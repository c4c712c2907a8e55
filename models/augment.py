"""Variation of the training pictures: place, size, colour, and the marks that compression leaves."""

import random
from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance

from network import HEIGHT, WIDTH
from pictures import PADDING, Picture, Placement, decode, letterbox, placed

WANTED_VISIBLE = 0.35
"""From this visible fraction on a shape must be found."""
IGNORED_VISIBLE = 0.05
"""From this visible fraction on a shape may be found; below it there is nothing to see."""
SMALLEST = 6.0
"""The shortest edge, in input pixels, of a shape that must be found."""


def sample(picture: Picture, chance: random.Random) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gives a varied picture ``[HEIGHT, WIDTH, 3]`` with its shapes' classes, boxes in input pixels, visibility."""
    image = worn(decode(picture.jpeg, reduced=chance.random() < 0.7), chance)
    image, place = letterbox(image) if chance.random() < 0.4 else zoomed(image, chance)
    boxes, visible = cut(placed(picture.boxes, place), picture.visible)
    pixels = np.asarray(recoloured(image, chance))
    if chance.random() < 0.5:
        pixels = pixels[:, ::-1]
        boxes = np.stack([WIDTH - boxes[:, 2], boxes[:, 1], WIDTH - boxes[:, 0], boxes[:, 3]], 1)
    return np.ascontiguousarray(pixels), picture.classes, boxes, visible


def worn(image: Image.Image, chance: random.Random) -> Image.Image:
    """Compresses some pictures once more, harder than cameras do, as a stand-in for video at a low bit rate."""
    if chance.random() < 0.6:
        return image
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=chance.randint(25, 90))
    return Image.open(buffer).convert("RGB")


def zoomed(image: Image.Image, chance: random.Random) -> tuple[Image.Image, Placement]:
    """Puts the picture on the input at a random size and place."""
    fit = min(WIDTH / image.width, HEIGHT / image.height) * chance.uniform(0.65, 1.5)
    stretch = chance.uniform(0.92, 1.08)
    width, height = image.width * fit * stretch, image.height * fit / stretch
    left = chance.uniform(min(0.0, WIDTH - width), max(0.0, WIDTH - width))
    top = chance.uniform(min(0.0, HEIGHT - height), max(0.0, HEIGHT - height))
    across, down = image.width / width, image.height / height
    matrix = (across, 0.0, -left * across, 0.0, down, -top * down)
    size, fill = (WIDTH, HEIGHT), (PADDING,) * 3
    moved = image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill)
    return moved, Placement(width, height, left, top)


def recoloured(image: Image.Image, chance: random.Random) -> Image.Image:
    """Changes brightness, contrast and saturation, and now and then swaps the colour channels."""
    if chance.random() < 0.3:
        return image
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(chance.uniform(0.7, 1.3))
    if chance.random() < 0.3:
        channels = list(image.split())
        chance.shuffle(channels)
        image = Image.merge("RGB", channels)
    return image


def cut(boxes: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts boxes at the input's edges; what was cut off a shape is no longer visible."""
    limits = np.array([WIDTH, HEIGHT] * 2, np.float32)
    inner = boxes.clip(0.0, limits)
    sides, full = inner[:, 2:] - inner[:, :2], boxes[:, 2:] - boxes[:, :2]
    kept = sides.prod(1) / full.prod(1).clip(1e-6)
    return inner, np.where(sides.min(1, initial=WIDTH) < SMALLEST, 0.0, visible * kept)
