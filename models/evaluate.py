"""Measures the ONNX file on pictures it was not trained on: average precision, precision and recall per class.

    python models/evaluate.py --model models/shapes.onnx --pictures PICTURES/test

Each picture goes the worker's way: JPEG at libjpeg's smallest sufficient size, letterbox, inference, suppression.
`scoring` says how the average precision is counted.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime

from augment import WANTED_VISIBLE
from pictures import Picture, decode, labels, letterbox, load, placed
from scoring import ClassScore, Found, Truth, class_score, from_output

SCORE = 0.25


def evaluate(model: Path, pictures: Iterable[Picture], classes: int) -> list[ClassScore]:
    """Scores every class over the pictures."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    results = [detect(session, picture) for picture in pictures]
    return [class_score(results, label, SCORE) for label in range(classes)]


def detect(session: onnxruntime.InferenceSession, picture: Picture) -> tuple[Found, Truth]:
    """Gives a picture's detections, and its objects in input pixels."""
    canvas, place = letterbox(decode(picture.jpeg, reduced=True))
    images = np.asarray(canvas, np.float32).transpose(2, 0, 1)[None] / 255
    output = session.run(None, {"images": images})[0][0]
    truth = Truth(picture.classes, placed(picture.boxes, place), picture.visible >= WANTED_VISIBLE)
    return from_output(output), truth


def table(names: list[str], scores: list[ClassScore]) -> str:
    """Lays the scores out as a Markdown table."""
    head = f"| class | objects | AP50 | precision at {SCORE} | recall at {SCORE} |\n|---|---|---|---|---|"
    rows = [row(name, score) for name, score in zip(names, scores, strict=True)]
    columns = np.array([(s.average_precision, s.precision, s.recall) for s in scores])
    mean = ClassScore(*map(float, columns.mean(0)), sum(s.objects for s in scores))
    return "\n".join([head, *rows, row("all (mean)", mean)])


def row(name: str, score: ClassScore) -> str:
    """Lays one line of the table out."""
    figures = (score.average_precision, score.precision, score.recall)
    return f"| {name} | {score.objects} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def main() -> None:
    """Prints the table for one model and one set of pictures."""
    parser = argparse.ArgumentParser(description="Measure the detector.")
    parser.add_argument("--model", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of a rendered set")
    arguments = parser.parse_args()
    names, pictures = labels(arguments.pictures), list(load(arguments.pictures))
    print(f"{len(pictures)} pictures\n\n{table(names, evaluate(arguments.model, pictures, len(names)))}")


if __name__ == "__main__":
    main()
