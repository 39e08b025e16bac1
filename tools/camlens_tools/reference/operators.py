"""The interpreter's operators: `function(interpreter, inputs, attributes)` for each ONNX name."""

import functools
import math

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
    return torch.reshape(found, [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


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
    return torch.reshape(x, sizes)


elementwise("Sub", torch.sub)
elementwise("Div", lambda a, b: a / b if a.is_floating_point() else a.div(b, rounding_mode="trunc"))
elementwise("Tanh", torch.tanh)
elementwise("Sigmoid", torch.sigmoid)
elementwise("Sqrt", torch.sqrt)
elementwise("Exp", torch.exp)
elementwise("Erf", torch.erf)
elementwise("Pow", torch.pow)
elementwise("HardSwish", lambda x: x * hard_sigmoid_of(x, 1 / 6, 0.5))
# Equal values share the gradient evenly, in these and in the maxima over an axis.
elementwise("GlobalMaxPool", lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True))
elementwise("GlobalAveragePool", lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True))
elementwise("Min", lambda *values: functools.reduce(torch.minimum, values))
elementwise("Max", lambda *values: functools.reduce(torch.maximum, values))


def hard_sigmoid_of(x, alpha, beta):
    return (alpha * x + beta).clamp(0, 1)


@operator("HardSigmoid")
def hard_sigmoid(_interpreter, inputs, attributes):
    return hard_sigmoid_of(inputs[0], attributes.get("alpha", 0.2), attributes.get("beta", 0.5))


@operator("Constant")
def constant(interpreter, _inputs, attributes):
    ((name, value),) = attributes.items()
    if name == "value":
        return interpreter.tensor(value)
    return interpreter.own_type(torch.tensor(value))


@operator("ConstantOfShape")
def constant_of_shape(interpreter, inputs, attributes):
    value = interpreter.tensor(attributes["value"]) if "value" in attributes else torch.zeros(1)
    return interpreter.own_type(value).reshape(()).expand(numbers(inputs[0])).clone()


@operator("Clip")
def clip(_interpreter, inputs, attributes):
    x, low, high = (*inputs, None, None)[:3]
    return x.clamp(attributes.get("min", low), attributes.get("max", high))


@operator("Flatten")
def flatten(_interpreter, inputs, attributes):
    x, axis = inputs[0], attributes.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


@operator("Gemm")
def gemm(_interpreter, inputs, attributes):
    a, b, *rest = inputs
    a = a.T if attributes.get("transA") else a
    b = b.T if attributes.get("transB") else b
    product = attributes.get("alpha", 1.0) * (a @ b)
    return product + attributes.get("beta", 1.0) * rest[0] if rest else product


@operator("AveragePool")
def average_pool(_interpreter, inputs, attributes):
    return torch_ops.average_pool(*inputs, **attributes)


@operator("ConvTranspose")
def conv_transpose(_interpreter, inputs, attributes):
    attributes.pop("kernel_shape", None)
    return torch_ops.conv_transpose(*inputs, **attributes)


@operator("BatchNormalization")
def batch_normalization(_interpreter, inputs, attributes):
    x, scale, bias, mean, variance = inputs
    epsilon = attributes.get("epsilon", 1e-5)
    return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)


def axes_of(inputs, attributes):
    """An operator's axes, which are an attribute in older opsets and an input in newer ones."""
    if "axes" in attributes:
        return attributes["axes"]
    return numbers(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else None


@operator("Squeeze")
def squeeze(_interpreter, inputs, attributes):
    x, axes = inputs[0], axes_of(inputs, attributes)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operator("Unsqueeze")
def unsqueeze(_interpreter, inputs, attributes):
    x, axes = inputs[0], axes_of(inputs, attributes)
    for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("ReduceMean")
def reduce_mean(_interpreter, inputs, attributes):
    x, axes = inputs[0], axes_of(inputs, attributes)
    axes = range(x.ndim) if axes is None else axes
    return x.mean(tuple(axes), keepdim=bool(attributes.get("keepdims", 1)))


@operator("Pad")
def pad(_interpreter, inputs, attributes):
    x = inputs[0]
    pads = attributes.get("pads") or numbers(inputs[1])
    value = attributes.get(
        "value", inputs[2].item() if len(inputs) > 2 and inputs[2] is not None else 0
    )
    begins, ends = pads[: x.ndim], pads[x.ndim :]
    reversed_pads = [size for pair in zip(begins[::-1], ends[::-1]) for size in pair]
    mode = attributes.get("mode", "constant")
    if mode == "constant":
        return F.pad(x, reversed_pads, value=value)
    # torch pads the last axes of `[N, C, H, W]` in the other modes.
    while len(reversed_pads) > 2 * (x.ndim - 2) and not any(reversed_pads[-2:]):
        reversed_pads = reversed_pads[:-2]
    return F.pad(x, reversed_pads, mode={"reflect": "reflect", "edge": "replicate"}[mode])
