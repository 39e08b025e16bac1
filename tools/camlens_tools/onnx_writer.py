"""Writes a float32 ONNX graph with the standard library alone.

The set-up has to build a model on any machine with Python, and has to give the same bytes on all
of them, because model.toml pins the file's SHA-256. The `onnx` package would need numpy and
protobuf wheels for every Python and platform. The part of the format that is needed here is small:
a message is a sequence of (field number, wire type, value), as in onnx.proto3.
"""

import struct

FLOAT, INT64_LIST, INT64, FLOAT32 = 1, 7, 2, 1  # AttributeProto.Type and TensorProto.DataType


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """Encodes an int as a varint, a float as 32 bits, str and bytes with their length first."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(number, values):
    return b"".join(field(number, value) for value in values)


def attribute(name, value):
    if isinstance(value, float):
        body, kind = field(2, value), FLOAT
    elif isinstance(value, int):
        body, kind = field(3, value), INT64
    else:
        body, kind = fields(8, value), INT64_LIST
    return field(1, name) + body + field(20, kind)


def value_info(name, shape):
    """A float tensor's ValueInfoProto. A str in the shape names a free dimension."""
    dims = [field(2 if isinstance(dim, str) else 1, dim) for dim in shape]
    tensor = field(1, FLOAT32) + field(2, fields(1, dims))
    return field(1, name) + field(2, field(1, tensor))


class Graph:
    """A graph under construction. Nodes are added in topological order, each with its shape."""

    def __init__(self, name):
        self.name = name
        self.nodes, self.initializers, self.infos = [], [], []

    def constant(self, name, shape, values):
        """Adds an initializer; `values` is an array("f") in row-major order."""
        raw = values.tobytes()
        assert len(raw) == 4 * _product(shape), name
        self.initializers.append(
            fields(1, shape) + field(2, FLOAT32) + field(8, name) + field(9, raw)
        )
        return name

    def node(self, op, name, inputs, output, shape, **attributes):
        body = fields(1, inputs) + field(2, output) + field(3, name) + field(4, op)
        body += fields(5, [attribute(key, attributes[key]) for key in sorted(attributes)])
        self.nodes.append(body)
        self.infos.append((output, shape))
        return output

    def model(self, inputs, outputs, opset, producer):
        """The bytes of the file. `inputs` and `outputs` are (name, shape) pairs."""
        ends = {name for name, _ in outputs}
        inner = [value_info(*info) for info in self.infos if info[0] not in ends]
        graph = fields(1, self.nodes) + field(2, self.name) + fields(5, self.initializers)
        graph += fields(11, [value_info(*info) for info in inputs])
        graph += fields(12, [value_info(*info) for info in outputs]) + fields(13, inner)
        ir_version = 8  # released together with opset 17
        return (
            field(1, ir_version) + field(2, producer) + field(7, graph) + field(8, field(2, opset))
        )


def _product(shape):
    total = 1
    for dim in shape:
        total *= dim
    return total
