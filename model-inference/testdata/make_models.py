"""Writes one small ONNX file per head, for the tests: `python make_models.py` (needs onnx and numpy).

Each model answers with constants, plus a picture-dependent zero that keeps the graph from being folded away, so
that the tests know what has to come out whatever the picture shows. Inputs are 64 wide and 32 high.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

FOLDER = Path(__file__).parent
SHAPE = [1, 3, 32, 64]


def model(outputs: dict[str, np.ndarray], metadata: dict[str, str], shape: list, kind: int) -> object:
    """Makes a model whose outputs are these constants."""
    floats = kind == TensorProto.FLOAT
    nodes = [] if floats else [helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)]
    nodes += [
        helper.make_node("ReduceMean", ["images" if floats else "floats"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
    ]
    constants = [numpy_helper.from_array(np.float32(0.0), "nothing")]
    infos = []
    for name, values in outputs.items():
        constants.append(numpy_helper.from_array(values.astype(np.float32), f"{name}_values"))
        nodes.append(helper.make_node("Add", [f"{name}_values", "zero"], [name]))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(values.shape)))
    picture = helper.make_tensor_value_info("images", kind, shape)
    graph = helper.make_graph(nodes, "constant", [picture], infos, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    helper.set_model_props(made, metadata)
    checker.check_model(made)
    return made


def write(
    name: str,
    outputs: dict[str, np.ndarray],
    metadata: dict | None = None,
    shape: list[int] | None = None,
    kind: int = TensorProto.FLOAT,
) -> None:
    """Writes a model to `<name>.onnx` beside this file."""
    save(model(outputs, metadata or {}, shape or SHAPE, kind), FOLDER / f"{name}.onnx")


def anchors(channels: int, count: int, rows: list[list[float]]) -> np.ndarray:
    """Anchors that say nothing but for the first ones, as [1, count, channels]."""
    values = np.zeros((1, count, channels))
    values[0, : len(rows)] = rows
    return values


def main() -> None:
    """Writes all of them."""
    names = "{0: 'cat', 1: \"dog's\"}"
    detect = {"names": names, "task": "detect", "imgsz": "[32, 64]", "stride": "32"}
    # Two boxes of class 1 that overlap, one of class 0 in the same place, one below the threshold.
    boxes = [
        [32, 16, 16, 8, 0.1, 0.9],
        [33, 16, 16, 8, 0.0, 0.8],
        [32, 16, 16, 8, 0.7, 0.0],
        [8, 8, 4, 4, 0.2, 0.1],
    ]
    write("yolov8", {"output0": anchors(6, 16, boxes).transpose(0, 2, 1)}, detect)
    objects = [[*box[:4], 1.0, *box[4:]] for box in boxes]
    write("yolov5", {"output0": anchors(7, 16, objects)}, detect, ["batch", 3, "height", "width"])
    corners = [[24, 12, 40, 20, 0.9, 1], [24, 12, 40, 20, 0.7, 0], [0, 0, 4, 4, 0.1, 0]]
    write("end2end", {"output0": anchors(6, 300, corners)}, detect)
    write(
        "ssd",
        {
            "scores": np.array([[[0.1, 0.0, 0.9], [0.9, 0.1, 0.0]]]),
            "boxes": np.array([[[0.25, 0.25, 0.75, 0.5], [0.0, 0.0, 1.0, 1.0]]]),
        },
    )
    write("classify", {"output0": np.array([[0.25, 0.75]])}, detect | {"task": "classify"})
    write("classify_nan", {"output0": np.array([[0.25, np.nan]])}, detect | {"task": "classify"})
    grid = np.zeros((1, 7, 2, 4))
    grid[0, [0, 6], 1, 2] = 1.0
    write("fastestdet", {"output0": grid})
    write("nan", {"output0": np.full((1, 6, 16), np.nan)}, detect)
    write("two_pictures", {"output0": anchors(6, 16, boxes).transpose(0, 2, 1)}, detect, [1, 6, 32, 64])
    write("bytes", {"output0": anchors(6, 16, boxes).transpose(0, 2, 1)}, detect, kind=TensorProto.UINT8)
    write("nhwc", {"output0": anchors(6, 16, boxes).transpose(0, 2, 1)}, detect, [1, 300, 300, 3])


if __name__ == "__main__":
    main()
