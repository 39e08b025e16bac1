"""The interpreter's operators: `function(interpreter, inputs, attributes)` for each ONNX name."""

import torch
import torch.nn.functional as F

from camlens_tools.reference import torch_ops

OPERATORS = {}


def operator(*names):
    def register(function):
        for name in names:
            OPERATORS[name] = function
        return function

    return register


def elementwise(name, function):
    OPERATORS[name] = lambda _interpreter, inputs, _attributes: function(*inputs)


def numbers(tensor):
    """A tensor of whole numbers as a list."""
    return [int(value) for value in tensor.flatten().tolist()]


elementwise("Add", torch.add)
elementwise("Mul", torch.mul)
elementwise("Relu", torch.relu)
elementwise("Identity", lambda x: x)
elementwise("MatMul", torch.matmul)


@operator("Conv")
def conv(_interpreter, inputs, attributes):
    attributes.pop("kernel_shape", None)
    return torch_ops.conv(*inputs, **attributes)


@operator("MaxPool")
def max_pool(_interpreter, inputs, attributes):
    attributes.pop("storage_order", None)
    return torch_ops.max_pool(*inputs, **attributes)


@operator("Softmax")
def softmax(interpreter, inputs, attributes):
    axis = attributes.get("axis", -1 if interpreter.opset >= 13 else 1)
    x = inputs[0]
    if interpreter.opset < 13:
        # Before opset 13 the axes from `axis` on count as one.
        return F.softmax(x.flatten(axis), -1).reshape(x.shape)
    return F.softmax(x, axis)


@operator("Transpose")
def transpose(_interpreter, inputs, attributes):
    x = inputs[0]
    return x.permute(attributes.get("perm", tuple(reversed(range(x.ndim)))))


@operator("Shape")
def shape(_interpreter, inputs, attributes):
    sizes = list(inputs[0].shape)
    return torch.tensor(sizes[attributes.get("start", 0) : attributes.get("end", len(sizes))])


@operator("Gather")
def gather(_interpreter, inputs, attributes):
    x, indices = inputs
    axis = attributes.get("axis", 0) % x.ndim
    indices = torch.where(indices < 0, indices + x.shape[axis], indices)
    found = x.index_select(axis, indices.flatten().long())
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


@operator("Cast")
def cast(interpreter, inputs, attributes):
    return inputs[0].to(interpreter.type_of(attributes["to"]))


@operator("Slice")
def slice_(_interpreter, inputs, attributes):
    x, *rest = inputs
    if "starts" in attributes:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes"), None
    else:
        starts, ends, axes, steps = [
            None if part is None else numbers(part) for part in (*rest, None, None)[:4]
        ]
    axes = axes or range(len(starts))
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts)):
        # Python's slices clamp as ONNX's do; torch has no negative steps.
        kept = torch.tensor(range(x.shape[axis])[slice_bounds(start, end, step)], dtype=torch.long)
        x = x.index_select(axis, kept)
    return x


def slice_bounds(start, end, step):
    """A slice whose end lies before the first element, -2^63 in ONNX, goes to the first one."""
    return slice(start, None if step < 0 and end < -(2**31) else end, step)


@operator("Concat")
def concat(_interpreter, inputs, attributes):
    return torch.cat(inputs, attributes["axis"])


@operator("Reshape")
def reshape(_interpreter, inputs, attributes):
    x, sizes = inputs[0], attributes.get("shape") or numbers(inputs[1])
    if not attributes.get("allowzero"):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)
