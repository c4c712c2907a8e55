"""Pictures of the synthetic scene: rendering them, reading them, and bringing them to the network's input.

As a program it renders both sets with the example `render_scene` of the crate `media`:

    cargo build --package media --example render_scene
    python models/pictures.py --out PICTURES

makes PICTURES/train (seeds 10000 to 10649, 5 pictures each) and PICTURES/test (seeds 20000 to 20099, likewise).
"""

import argparse
import json
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from network import HEIGHT, WIDTH

TRAIN_SEEDS = range(10000, 10650)
TEST_SEEDS = range(20000, 20100)
PER_SEED = 5
SIZES = ((640, 360), (640, 360), (1280, 720), (960, 540), (640, 480), (320, 180))
PADDING = 114
RENDERER = Path(__file__).parent.parent / "target/debug/examples/render_scene"


@dataclass(frozen=True)
class Picture:
    """An encoded picture and its shapes.

    ``boxes`` holds (left, top, right, bottom) as fractions of the picture, ``visible`` the fractions not hidden.
    """

    jpeg: bytes
    classes: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class Placement:
    """Where a picture lies on the network's input: pixels per source pixel, and the corner's offset in pixels."""

    scale_x: float
    scale_y: float
    left: float
    top: float


def load(folder: Path) -> Iterator[Picture]:
    """Reads all pictures of a set, in the order of their folders' names."""
    for truth in sorted(folder.glob("*/truth.json")):
        for frame in json.loads(truth.read_text())["frames"]:
            yield read(truth.parent / frame["file"], frame["objects"])


def read(file: Path, objects: list[dict]) -> Picture:
    """Reads one picture and puts its shapes into arrays."""
    corners = [(o["x"], o["y"], o["x"] + o["w"], o["y"] + o["h"]) for o in objects]
    return Picture(
        file.read_bytes(),
        np.array([o["class_id"] for o in objects], np.int64),
        np.array(corners, np.float32).reshape(-1, 4),
        np.array([o["visible"] for o in objects], np.float32),
    )


def labels(folder: Path) -> list[str]:
    """Gives the class names that the renderer wrote beside the pictures."""
    first = min(folder.glob("*/truth.json"))
    return json.loads(first.read_text())["labels"]


def decode(jpeg: bytes, *, reduced: bool) -> Image.Image:
    """Decodes a JPEG, if wanted at the smallest of libjpeg's sizes that still covers the network's input."""
    image = Image.open(BytesIO(jpeg))
    if reduced:
        fit = min(WIDTH / image.width, HEIGHT / image.height)
        image.draft("RGB", (round(image.width * fit), round(image.height * fit)))
    return image.convert("RGB")


def letterbox(image: Image.Image) -> tuple[Image.Image, Placement]:
    """Fits a picture into the network's input, centred between grey bars, as the worker does."""
    fit = min(WIDTH / image.width, HEIGHT / image.height)
    width, height = round(image.width * fit), round(image.height * fit)
    left, top = round((WIDTH - width) / 2 - 0.1), round((HEIGHT - height) / 2 - 0.1)
    canvas = Image.new("RGB", (WIDTH, HEIGHT), (PADDING,) * 3)
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return canvas, Placement(width, height, left, top)


def placed(boxes: np.ndarray, place: Placement) -> np.ndarray:
    """Brings boxes from fractions of the picture to pixels of the input."""
    scale = np.array([place.scale_x, place.scale_y] * 2, np.float32)
    return boxes * scale + np.array([place.left, place.top] * 2, np.float32)


def render(renderer: Path, out: Path, seeds: range) -> None:
    """Renders a set: every seed with a size, a number of shapes and a JPEG quality of its own."""
    for seed in seeds:
        chance = random.Random(seed)
        width, height = chance.choice(SIZES)
        options = {
            "seed": seed,
            "count": PER_SEED,
            "first": chance.randrange(1000),
            "step": 457,
            "width": width,
            "height": height,
            "shapes": chance.randint(3, 12),
            "quality": chance.randint(60, 95),
            "out": out / f"{seed:05}",
        }
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        subprocess.run([renderer, *words], check=True)


def main() -> None:
    """Renders both sets."""
    parser = argparse.ArgumentParser(description="Render the training and the test set.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--renderer", type=Path, default=RENDERER, help="the built example render_scene")
    arguments = parser.parse_args()
    render(arguments.renderer, arguments.out / "train", TRAIN_SEEDS)
    render(arguments.renderer, arguments.out / "test", TEST_SEEDS)


if __name__ == "__main__":
    main()
