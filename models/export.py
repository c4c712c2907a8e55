"""Writes the trained detector as an ONNX file in the layout and with the metadata of an ultralytics YOLOv8 export.

In: `images`, ``[1, 3, HEIGHT, WIDTH]``, RGB, 0..1.
Out: `output0`, ``[1, 4 + classes, anchors]``: box centre x, y, width, height in input pixels, then the class scores.

Batch normalisation is folded into the convolutions before it.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from network import HEIGHT, REACH, STRIDES, WIDTH, ConvBlock, Detector, Residual, anchor_points

OPSET = 13
IR_VERSION = 8
TOLERANCE = 1e-3


class Graph:
    """An ONNX graph under construction; every method adds a node and gives its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        output = name or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def convolution(self, layer: nn.Conv2d, features: str) -> str:
        weight, bias = (self.constant(values.detach().numpy()) for values in (layer.weight, layer.bias))
        side, edge, step = layer.kernel_size[0], layer.padding[0], layer.stride[0]
        shape = {"kernel_shape": [side] * 2, "pads": [edge] * 4, "strides": [step] * 2}
        return self.node("Conv", features, weight, bias, **shape)

    def block(self, layer: ConvBlock, features: str) -> str:
        return self.node("Relu", self.convolution(fuse_conv_bn_eval(layer[0], layer[1]), features))

    def residual(self, layer: Residual, features: str) -> str:
        return self.node("Add", features, self.block(layer.widen, self.block(layer.narrow, features)))

    def stage(self, layers: nn.Sequential, features: str) -> str:
        for layer in layers:
            features = self.residual(layer, features) if isinstance(layer, Residual) else self.block(layer, features)
        return features

    def doubled(self, features: str) -> str:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self.node("Resize", features, "", scales, **how)

    def rows(self, values: str, first: int, end: int) -> str:
        bounds = [self.constant(np.array([bound], np.int64)) for bound in (first, end, 1)]
        return self.node("Slice", values, *bounds)

    def decoded(self, features: str, classes: int, stride: int) -> str:
        """Turns a head's map into ``[1, 4 + classes, anchors]``: centres, sizes and scores."""
        rows, columns = HEIGHT // stride, WIDTH // stride
        shape = self.constant(np.array([1, 4 + classes, rows * columns], np.int64))
        unit = self.node("Sigmoid", self.node("Reshape", features, shape))
        near, far = (
            self.node("Mul", self.rows(unit, start, start + 2), self.number(REACH * stride)) for start in (0, 2)
        )
        points = self.constant(anchor_points(rows, columns, stride).T[None].numpy().astype(np.float32))
        shift = self.node("Mul", self.node("Sub", far, near), self.number(0.5))
        centre, size = self.node("Add", points, shift), self.node("Add", near, far)
        return self.node("Concat", centre, size, self.rows(unit, 4, 4 + classes), axis=1)


def build(detector: Detector) -> onnx.ModelProto:
    """Builds the ONNX model; follows `Detector.forward` line by line."""
    graph = Graph()
    eighth = graph.stage(detector.stride8, graph.stage(detector.stride4, "images"))
    sixteenth = graph.stage(detector.stride16, eighth)
    lifted = graph.doubled(graph.convolution(detector.lateral, sixteenth))
    fine = graph.block(detector.fine, graph.node("Add", eighth, lifted))
    maps = (
        graph.convolution(detector.fine_head, fine),
        graph.convolution(detector.coarse_head, graph.block(detector.coarse, sixteenth)),
    )
    parts = [graph.decoded(head, detector.classes, stride) for head, stride in zip(maps, STRIDES, strict=True)]
    graph.node("Concat", *parts, axis=2, name="output0")
    anchors = sum(HEIGHT // stride * (WIDTH // stride) for stride in STRIDES)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + detector.classes, anchors])
    body = helper.make_graph(graph.nodes, "shapes", [images], [output], graph.constants)
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(body, opset_imports=opset, ir_version=IR_VERSION, producer_name="millrace")


def export(detector: Detector, names: list[str], version: str, file: Path) -> None:
    """Writes the file and checks that ONNX Runtime gives the network's own answers."""
    detector = detector.eval()
    model = build(detector)
    helper.set_model_props(model, metadata(names, version))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    compare(detector, file)


def metadata(names: list[str], version: str) -> dict[str, str]:
    """Gives the metadata entries as ultralytics writes them."""
    return {
        "description": "Detector of the shapes in Millrace's synthetic scene",
        "author": "Millrace",
        "version": version,
        "license": "Apache-2.0",
        "task": "detect",
        "stride": str(max(STRIDES)),
        "batch": "1",
        "imgsz": str([HEIGHT, WIDTH]),
        "names": str(dict(enumerate(names))),
    }


def compare(detector: Detector, file: Path) -> None:
    """Refuses a file whose output differs from the network's."""
    pictures = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"images": pictures.numpy()})[0]
    difference = float(np.abs(theirs - expected(detector, pictures).numpy()).max())
    if difference > TOLERANCE:
        raise ValueError(f"export {file}: output differs by {difference} from the network's")


@torch.no_grad()
def expected(detector: Detector, pictures: Tensor) -> Tensor:
    """Gives the network's answer in the layout of the file's output."""
    prediction = detector(pictures)
    low, high = prediction.boxes[..., :2], prediction.boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low, prediction.logits.sigmoid()], -1).transpose(1, 2)
