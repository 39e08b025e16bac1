"""Turns ONNX's own test cases of its operators into classifiers, with derivatives in float64.

    python tools conformance.operators --into FOLDER [NAME ...]

For every case of `onnx.backend.test` and each of its float32 inputs there is a network: its image
is that input, all other inputs are constants, and its scores are sums of the outputs with random
weights. Where a case has several outputs, a second network has the first one alone. The derivative
of the first score is taken by central differences of ONNX's reference implementation, fed with
float64 values. Each NAME selects the cases whose names contain it. `cargo run --release --example
operators -- FOLDER` compares camlens with them.
"""

import argparse
import collections
import signal
import warnings
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

# The oldest opset that ONNX Runtime's version converter accepts.
OLDEST_OPSET = 7
LARGEST = 4000
# Of larger inputs, this many elements are differentiated.
ELEMENTS = 60
SECONDS = 20
# Both steps have to give the same slope, up to SAME of the largest slope. Otherwise a kink is near,
# or the reference computes in float32.
STEPS = (1e-4, 1e-7)
SAME = 1e-5
SCORES = 3
# The network adds two rows, the second halved, so that the image has two axes.
ROWS = np.array([[[[1, 0.5]]]], np.float32)
MANIFEST = """\
file = "model.onnx"
default_layer = "probe"
[layers]
probe = "layer"
[output]
name = "scores"
"""


class Skipped(Exception):
    """The reason why a case has no network."""


def array(value):
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if not isinstance(value, np.ndarray) and not np.isscalar(value):
        raise Skipped("sequences and optionals")
    return np.asarray(value)


def constant(name, values):
    return numpy_helper.from_array(values, f"case/{name}")


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], **attributes)


def perturbed(values, random):
    """The values with a little noise, because integers are often equal or lie on kinks."""
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise Skipped("infinities")
    size = max(1e-3, float(np.abs(values).max()))
    return (values + 2e-3 * size * random.normal(size=values.shape)).astype(np.float32)


def network(case, which, outputs, values, weights):
    """The model, whose layer `layer` is the image itself."""
    graph, count = case.model.graph, max(values.size, 2)
    name = graph.input[which].name
    nodes = [
        node("Mul", ["image", "case/one"], "layer"),
        node("MatMul", ["case/rows", "layer"], "case/sum"),
        node("Reshape", ["case/sum", "case/flat"], "case/values"),
        node("Gather", ["case/values", "case/first"], "case/selected", axis=0),
        node("Reshape", ["case/selected", "case/shape"], name),
    ]
    constants = [
        constant("one", np.float32(1)),
        constant("rows", ROWS),
        constant("flat", np.array([count])),
        # A single value is stored in an image of two.
        constant("first", np.arange(values.size)),
        constant("shape", np.array(values.shape, np.int64)),
    ]
    for index, (value, given) in enumerate(zip(graph.input, case.data_sets[0][0], strict=True)):
        if index != which:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(
                given
                if isinstance(given, onnx.TensorProto)
                else numpy_helper.from_array(array(given))
            )
            tensor.name = value.name
            constants.append(tensor)
    nodes += graph.node
    constants += graph.initializer
    parts = []
    for index, matrix in weights.items():
        constants += [
            constant(f"row{index}", np.array([1, len(matrix)])),
            constant(f"weights{index}", matrix),
        ]
        nodes.append(node("Reshape", [outputs[index], f"case/row{index}"], f"case/output{index}"))
        parts.append(f"case/part{index}")
        nodes.append(node("MatMul", [f"case/output{index}", f"case/weights{index}"], parts[-1]))
    nodes.append(node("Sum", parts, "scores"))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 2, count])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, SCORES])
    graph = helper.make_graph(nodes, case.name, [image], [scores], constants)
    model = helper.make_model(
        graph, opset_imports=case.model.opset_import, ir_version=min(case.model.ir_version, 12)
    )
    model.functions.extend(case.model.functions)
    return model


def reference(case, which, weights):
    """The scores as a function of an input, in float64 wherever the reference supports it."""
    evaluator = ReferenceEvaluator(case.model)
    graph = case.model.graph
    given = {
        value.name: array(of) for value, of in zip(graph.input, case.data_sets[0][0], strict=True)
    }
    wide = {
        name: of.astype(np.float64) if of.dtype == np.float32 else of for name, of in given.items()
    }

    def scores(values):
        results = evaluator.run(None, wide | {graph.input[which].name: values})
        parts = (
            np.asarray(results[index], np.float64).reshape(-1) @ of for index, of in weights.items()
        )
        return sum(parts)

    return scores


def differences(scores, values, random):
    """The derivative of the first score with respect to some elements; NaN for all others."""
    count = values.size
    elements = (
        np.arange(count) if count <= ELEMENTS else random.choice(count, ELEMENTS, replace=False)
    )
    size = max(1e-2, float(np.abs(values).max()))
    found = np.full((len(STEPS), count), np.nan)
    for row, step in zip(found, STEPS, strict=True):
        for element in elements:
            ends = []
            for sign in (1, -1):
                point = values.astype(np.float64).reshape(-1)
                point[element] += sign * step * size
                ends.append(scores(point.reshape(values.shape))[0])
            row[element] = (ends[0] - ends[1]) / (2 * step * size)
    coarse, fine = found
    largest = np.nanmax(np.abs(fine))
    return np.where(np.abs(coarse - fine) <= SAME * max(largest, 1e-3), fine, np.nan)


def write(case, which, first_alone, folder):
    opset = max(
        (of.version for of in case.model.opset_import if of.domain in ("", "ai.onnx")), default=0
    )
    values = array(case.data_sets[0][0][which])
    if opset < OLDEST_OPSET:
        raise Skipped(f"opsets before {OLDEST_OPSET}")
    if not 1 <= values.size <= LARGEST:
        raise Skipped(f"no elements, or more than {LARGEST}")
    random = np.random.default_rng(zlib.crc32(f"{case.name}{which}".encode()))
    values = perturbed(values, random)
    results = dict(enumerate(case.data_sets[0][1]))
    types = [output.type.tensor_type.elem_type for output in case.model.graph.output]
    sizes = {
        index: array(of).size for index, of in results.items() if types[index] == TensorProto.FLOAT
    }
    if first_alone:
        if len(sizes) < 2:
            return False
        sizes = dict([min(sizes.items())])
    weights = {
        index: (random.normal(size=(size, SCORES)) / np.sqrt(size)).astype(np.float32)
        for index, size in sizes.items()
        if size
    }
    if not weights:
        raise Skipped("no float32 output")
    try:
        scores = reference(case, which, weights)
        at_values = scores(values.astype(np.float64))
        gradient = differences(scores, values, random)
    except (
        ValueError,
        TypeError,
        RuntimeError,
        IndexError,
        AssertionError,
        NotImplementedError,
    ) as error:
        raise Skipped("the reference implementation fails in float64") from error
    outputs = [output.name for output in case.model.graph.output]
    model = network(case, which, outputs, values, weights)
    operators = {node.op_type for node in case.model.graph.node}
    folder = (
        folder
        / (operators.pop() if len(operators) == 1 else "several")
        / f"{case.name}-{which}{'-first' * first_alone}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "model.toml").write_text(MANIFEST)
    image = np.zeros((1, 1, 2, max(values.size, 2)), np.float32)
    image[0, 0, :, : values.size] = np.stack([0.5 * values.reshape(-1), values.reshape(-1)])
    np.savez(folder / "case.npz", x=image, gradient=gradient, scores=at_values)
    return True


def timed_out(*_):
    raise Skipped(f"more than {SECONDS} seconds")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    signal.signal(signal.SIGALRM, timed_out)
    skipped, written = collections.Counter(), 0
    for case in collect_testcases(None):
        if arguments.names and not any(name in case.name for name in arguments.names):
            continue
        for which, value in enumerate(case.model.graph.input):
            if value.type.tensor_type.elem_type != TensorProto.FLOAT:
                continue
            for first_alone in (False, True):
                signal.alarm(SECONDS)
                try:
                    written += write(case, which, first_alone, arguments.into)
                except Skipped as why:
                    skipped[str(why)] += not first_alone
                finally:
                    signal.alarm(0)
    print(
        f"{written} networks; skipped: "
        + ", ".join(f"{count} ({why})" for why, count in skipped.most_common())
    )


if __name__ == "__main__":
    main()
