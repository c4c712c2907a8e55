"""An ONNX model whose tensors want 60 GB, written without a library (onnx.proto3: field numbers below)."""

from pathlib import Path

FLOAT, INT64 = 1, 7
ROWS, COLUMNS = 60_000, 250_000


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def node(kind: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    named = b"".join(field(1, name) for name in inputs)
    return field(1, named + field(2, output) + field(4, kind) + attributes)


def numbers(name: str, values: list[int]) -> bytes:
    attribute = field(1, name) + b"".join(field(8, value) for value in values) + field(20, 7)
    return field(5, attribute)


def number(name: str, value: int) -> bytes:
    return field(5, field(1, name) + field(3, value) + field(20, 2))


def shaped(name: str, shape: list[int]) -> bytes:
    dims = b"".join(field(1, field(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, dims)))


def write(path: Path) -> None:
    """Writes the model: the mean of each colour, plus that of a tensor of 60,000 by 250,000 zeros."""
    shape = field(1, 2) + field(2, INT64) + field(8, "shape")
    shape += field(9, ROWS.to_bytes(8, "little") + COLUMNS.to_bytes(8, "little"))
    graph = b"".join(
        [
            node("ConstantOfShape", ["shape"], "zeros"),
            node("ReduceMean", ["zeros"], "zero", numbers("axes", [0, 1]) + number("keepdims", 0)),
            node("ReduceMean", ["images"], "colours", numbers("axes", [2, 3]) + number("keepdims", 0)),
            node("Add", ["colours", "zero"], "scores"),
            field(2, "hungry"),
            field(5, shape),
            field(11, shaped("images", [1, 3, 64, 64])),
            field(12, shaped("scores", [1, 3])),
        ]
    )
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
