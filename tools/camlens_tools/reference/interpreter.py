"""Runs an ONNX graph on torch tensors of a chosen float type, so that autograd differentiates it.

In float64 it is the reference for maps and gradients; in float32 it shows what the same arithmetic
loses. It reads the file as it is written: no fusion, no rewriting, no rule of camlens's own. An
operator that is missing ends the run with its name.
"""

import math

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from camlens_tools.reference.operators import OPERATORS

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


class Unsupported(Exception):
    """An operator that the interpreter lacks."""


def attributes(node):
    """A node's attributes, with texts as str."""
    found = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        found[attribute.name] = value
    return found


class Interpreter:
    """`model` is a ModelProto or a path; every float of it becomes `dtype`."""

    def __init__(self, model, dtype=torch.float64):
        self.model = model if isinstance(model, onnx.ModelProto) else onnx.load(model)
        self.dtype = dtype
        self.constants = {item.name: self.tensor(item) for item in self.model.graph.initializer}
        self.inputs = [
            value.name for value in self.model.graph.input if value.name not in self.constants
        ]
        self.outputs = [value.name for value in self.model.graph.output]
        self.opset = next(
            (item.version for item in self.model.opset_import if item.domain in ("", "ai.onnx")), 1
        )

    def tensor(self, proto):
        return self.own_type(torch.from_numpy(np.array(numpy_helper.to_array(proto))))

    def own_type(self, value):
        return value.to(self.dtype) if value.is_floating_point() else value

    def type_of(self, onnx_type):
        """The torch type of a Cast's `to`: every float is the interpreter's own."""
        if onnx_type in FLOATS:
            return self.dtype
        return torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(onnx_type))).dtype

    def needed(self, names):
        """The nodes that compute the tensors `names`, in the graph's order."""
        nodes, wanted = [], set(names)
        for node in reversed(self.model.graph.node):
            if wanted.intersection(node.output):
                nodes.append(node)
                wanted.update(node.input)
        return nodes[::-1]

    def run(self, x, names):
        """The tensors `names` for the input `x`, a float array; autograd can differentiate them."""
        x = self.own_type(torch.as_tensor(x)).requires_grad_()
        values = {**self.constants, self.inputs[0]: x, "": None}
        for node in self.needed(names):
            if node.op_type not in OPERATORS:
                raise Unsupported(f"the interpreter has no {node.op_type}")
            inputs = [values[name] for name in node.input]
            found = OPERATORS[node.op_type](self, inputs, attributes(node))
            found = found if isinstance(found, (tuple, list)) else [found]
            values.update(zip(node.output, found))
        return [values[name] for name in names]

    def gradients(self, x, scores, layers):
        """Activations and gradients of scalars at the tensors `layers`, for one image.

        `scores` lists pairs of a tensor's name and a function from that tensor to a scalar. Returns
        the scalars, the activations, and for each scalar its gradients in the order of `layers`.
        """
        names = list(dict.fromkeys(name for name, _ in scores))
        found = self.run(x, [*names, *layers])
        values, activations = dict(zip(names, found)), found[len(names) :]
        scalars = [pick(values[name]) for name, pick in scores]
        gradients = [
            torch.autograd.grad(scalar, activations, retain_graph=True) for scalar in scalars
        ]
        return (
            [scalar.item() for scalar in scalars],
            [activation.detach() for activation in activations],
            gradients,
        )


def as_numpy(tensor):
    return tensor.detach().numpy()


def score_tensor(model, output):
    """The logits: what goes into the Softmax or Sigmoid that makes `output`, or `output` itself."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    node = made_by[output]
    while node.op_type in ("Identity", "Cast"):
        node = made_by[node.input[0]]
    return node.input[0] if node.op_type in ("Softmax", "Sigmoid") else output


def logits_name(model):
    """The logits of a model's first output."""
    return score_tensor(model, model.graph.output[0].name)


def channels_first(array, layout):
    """A layer's tensor of one image as `[C, h, w]`."""
    if layout == "tokens":
        tokens = array[0]
        side = math.isqrt(tokens.shape[0])
        return tokens[-side * side :].T.reshape(-1, side, side)
    return array[0].permute(2, 0, 1) if layout == "nhwc" else array[0]
