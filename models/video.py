"""A test set whose pictures went through H.264 at a low bit rate, as a camera's do. Needs ffmpeg with x264.

python models/video.py --out PICTURES/video
python models/evaluate.py --model models/shapes.onnx --pictures PICTURES/video
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from pictures import RENDERER

SEEDS = range(20100, 20150)
FORMATS = ((640, 360, "400k"), (1280, 720, "1000k"))
FIRST = 100
LENGTH = 30
KEPT = (0, 14, 29)


def render(renderer: Path, seed: int, out: Path) -> None:
    """Renders a scene, encodes and decodes it, and keeps a few of its pictures with their truth."""
    width, height, rate = FORMATS[seed % len(FORMATS)]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        size = ("--width", str(width), "--height", str(height), "--quality", "95")
        span = ("--seed", str(seed), "--first", str(FIRST), "--count", str(LENGTH))
        subprocess.run([renderer, *span, *size, "--out", work], check=True)
        compress(work, rate)
        keep(work, out)


def compress(work: Path, rate: str) -> None:
    """Encodes a folder's pictures as `video.mp4` and decodes that to `decoded-NN.jpg`, from 01."""
    source = ("-framerate", "25", "-start_number", str(FIRST), "-i", work / "%06d.jpg")
    codec = ("-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-threads", "1")
    speed = ("-preset", "veryfast", "-tune", "zerolatency", "-b:v", rate, "-maxrate", rate, "-bufsize", rate)
    ffmpeg = ("ffmpeg", "-loglevel", "error")
    subprocess.run([*ffmpeg, *source, *codec, *speed, work / "video.mp4"], check=True)
    subprocess.run([*ffmpeg, "-i", work / "video.mp4", "-q:v", "4", work / "decoded-%02d.jpg"], check=True)


def keep(work: Path, out: Path) -> None:
    """Moves the decoded pictures that are kept, and their part of the truth, to `out`."""
    out.mkdir(parents=True)
    truth = json.loads((work / "truth.json").read_text())
    truth["frames"] = [truth["frames"][index] for index in KEPT]
    for index, frame in zip(KEPT, truth["frames"], strict=True):
        shutil.move(work / f"decoded-{index + 1:02}.jpg", out / frame["file"])
    (out / "truth.json").write_text(json.dumps(truth))


def main() -> None:
    """Renders the set."""
    parser = argparse.ArgumentParser(description="Render the H.264 test set.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--renderer", type=Path, default=RENDERER, help="the built example render_scene")
    arguments = parser.parse_args()
    for seed in SEEDS:
        render(arguments.renderer, seed, arguments.out / str(seed))


if __name__ == "__main__":
    main()
