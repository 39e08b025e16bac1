"""Runs camlens's backward graphs in float64 and compares them with autograd in float64.

    CONFORMANCE_PROGRAMS=1 cargo run --release --example conformance -- target/zoo ARCHITECTURE
    python tools conformance.exact [--into FOLDER] ARCHITECTURE ...

For an architecture that exceeds 1e-4 in the conformance table. Where the same graph agrees in
float64, the vjps are exact and the float32 difference is rounding. ONNX Runtime has no
double kernels for convolutions, so ONNX's reference implementation runs the graph, with torch's
double convolutions and pools. The results are written beside the arrays, where
`examples/conformance.rs` reads them for its table. With --differences, the gradient is also
compared with finite differences of the file's own scores, which involve no framework.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from camlens_tools.conformance.common import relative
from camlens_tools.paths import ZOO
from camlens_tools.reference import torch_ops

# The step of finite differences. In float64 it can be so short that kinks in it are rare.
STEP = 1e-8


def tensor(array):
    return None if array is None else torch.from_numpy(np.ascontiguousarray(array))


class Conv(OpRun):
    def _run(
        self,
        x,
        w,
        b=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        pads=None,
        strides=None,
    ):
        found = torch_ops.conv(
            tensor(x),
            tensor(w),
            tensor(b),
            auto_pad=auto_pad,
            dilations=dilations,
            group=group,
            pads=pads,
            strides=strides,
        )
        return (found.numpy(),)


class ConvTranspose(OpRun):
    def _run(
        self,
        x,
        w,
        b=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        output_padding=None,
        output_shape=None,
        pads=None,
        strides=None,
    ):
        found = torch_ops.conv_transpose(
            tensor(x),
            tensor(w),
            dilations=dilations,
            group=group,
            output_padding=output_padding,
            pads=pads,
            strides=strides,
        )
        return (found.numpy().copy(),)


class MaxPool(OpRun):
    def _run(
        self,
        x,
        auto_pad=None,
        ceil_mode=None,
        dilations=None,
        kernel_shape=None,
        pads=None,
        storage_order=None,
        strides=None,
    ):
        strides, pads = strides or [1, 1], pads or [0, 0, 0, 0]
        dilations = dilations or [1, 1]
        pads = torch_ops.explicit_pads(auto_pad, x, kernel_shape, strides, dilations, pads)
        pads = pads or [0, 0, 0, 0]
        height, width = x.shape[2:]
        wide = torch_ops.pad(tensor(x), pads, -np.inf)
        values, indices = F.max_pool2d(
            wide, kernel_shape, strides, 0, dilations, bool(ceil_mode), return_indices=True
        )
        # torch indexes one channel of the padded image; ONNX indexes the whole input.
        rows, columns = indices // wide.shape[3] - pads[0], indices % wide.shape[3] - pads[1]
        offset = torch.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1) * (
            height * width
        )
        indices = (rows * width + columns + offset).numpy()
        return (values.numpy(), indices) if len(self.onnx_node.output) > 1 else (values.numpy(),)


class Pad(OpRun):
    """ONNX allows negative pads, which crop; its reference implementation does not."""

    def _run(self, x, pads, value=None, axes=None, mode=None):
        every = np.zeros((2, x.ndim), int)
        every[:, range(x.ndim) if axes is None else axes] = np.reshape(pads, (2, -1))
        wide = np.maximum(every, 0).T
        options = (
            {"constant_values": 0 if value is None else value.item()}
            if mode in (None, "constant")
            else {}
        )
        x = np.pad(x, wide, mode=mode or "constant", **options)
        less = np.maximum(-every, 0)
        return (x[tuple(slice(begin, size - end) for begin, end, size in zip(*less, x.shape))],)


def double(tensor):
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
        )


def convert_to_double(graph):
    """Converts every float tensor and type of a graph to float64, in place."""
    for tensor in graph.initializer:
        double(tensor)
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(
                helper.make_attribute("value", numpy_helper.from_array(np.zeros(1)))
            )
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
            if attribute.type == onnx.AttributeProto.TENSOR:
                double(attribute.t)
            if attribute.type == onnx.AttributeProto.GRAPH:
                convert_to_double(attribute.g)


def inline_loop(graph):
    """Inlines the loop around the backward pass, in place.

    Its first iteration computes the only gradient that is needed.
    """
    loop = next(
        node
        for node in graph.node
        if node.op_type == "Loop" and "camlens/gradients/0" in node.output
    )
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    graph.node.remove(loop)
    graph.initializer.extend(body.initializer)
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), body.input[0].name))
    graph.initializer.append(numpy_helper.from_array(np.array(True), body.input[1].name))
    graph.node.extend(body.node)
    gradient = next(output for output in graph.output if output.name == "camlens/gradients/0")
    # The body's outputs are the loop's condition, then the gradient.
    gradient.name = body.output[1].name


def difference_error(model, layer, act, gradient, targets):
    """The relative difference between the gradient and finite differences of the graph's scores.

    Both are taken along one random direction. Only activations above 0 move: at 0, where ReLUs and
    pools have their kinks, no derivative exists.
    """
    nodes, needed = [], {"camlens/scores"}
    for node in reversed(model.graph.node):
        if layer not in node.output and needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)]
        for name in (layer, "camlens/scores")
    ]
    graph = helper.make_graph(nodes[::-1], "tail", *ends, constants)
    tail = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = ReferenceEvaluator(tail, new_ops=[Conv, ConvTranspose, MaxPool, Pad])

    def score(activations):
        (scores,) = session.run(None, {layer: activations})
        return scores[np.arange(len(activations)), targets]

    direction = np.random.default_rng(0).standard_normal(act.shape) * (act > 0)
    found = (score(act + STEP * direction) - score(act - STEP * direction)) / (2 * STEP)
    expected = (gradient * direction).sum((1, 2, 3))
    return np.abs(found - expected).max() / np.abs(expected).max()


def as_maps(array, shape):
    """A framework's array in camlens's layout `[N, C, h, w]`.

    In an array of tokens `[N, T, C]`, the last h * w tokens are the positions.
    """
    if array.ndim == 3:
        return array[:, -shape[2] * shape[3] :].transpose(0, 2, 1).reshape(shape)
    return array if array.shape == shape else array.transpose(0, 3, 1, 2)


def check(folder, keep, differences):
    """Writes each layer's float64 error beside the arrays; deletes the large programs."""
    arrays, found = np.load(folder / "reference.npz"), {}
    for layer in json.loads((folder / "layers.json").read_text())["layers"]:
        module = layer["module"]
        path = folder / f"program-{module.replace('/', '-').replace('.', '-')}.onnx"
        model = onnx.load(path)
        inline_loop(model.graph)
        convert_to_double(model.graph)
        session = ReferenceEvaluator(model, new_ops=[Conv, ConvTranspose, MaxPool, Pad])
        image = next(
            value.name for value in model.graph.input if not value.name.startswith("camlens/")
        )
        targets = arrays["target"].astype(np.int64)[None]
        feeds = {
            image: arrays["x"].astype(np.float64),
            "camlens/target": targets,
            # No contrast class is subtracted.
            "camlens/contrast": np.full_like(targets, -1),
            "camlens/gradient_of": np.array([1], np.int64),
        }
        # The first two outputs are scores and probabilities.
        act, gradient = session.run([value.name for value in model.graph.output[2:4]], feeds)
        found[module] = relative(gradient, as_maps(arrays[f"grad|{module}"], gradient.shape))
        title = f"{folder.parent.name} | {folder.name} | {module} | {found[module]:.0e}"
        if differences:
            error = difference_error(model, layer["tensor"], act, gradient, arrays["target"])
            title += f" | finite differences {error:.0e}"
        print(title, flush=True)
    (folder / "exact.json").write_text(json.dumps(found, indent=1) + "\n")
    for path in [] if keep else folder.glob("program-*.onnx"):
        path.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=ZOO)
    parser.add_argument("--keep", action="store_true", help="do not delete camlens's programs")
    parser.add_argument(
        "--differences",
        action="store_true",
        help="compare with finite differences of the file's scores, too",
    )
    parser.add_argument("architecture", nargs="+")
    arguments = parser.parse_args()
    for name in arguments.architecture:
        for folder in sorted(path.parent for path in (arguments.into / name).glob("*/layers.json")):
            check(folder, arguments.keep, arguments.differences)


if __name__ == "__main__":
    main()
